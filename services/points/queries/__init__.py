"""All reads of points."""
