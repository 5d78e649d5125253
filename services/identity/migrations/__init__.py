"""Identity's chain of migrations."""
