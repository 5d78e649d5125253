"""The whole platform, as its callers see it: real processes behind the real edge."""
