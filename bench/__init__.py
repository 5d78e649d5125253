"""Benchmarks of Scrip over REST, beside peers that do the same job, or none at all."""
