"""The four services of Scrip and the mechanism that they share."""
