"""The chain of migrations of points."""
