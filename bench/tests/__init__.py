"""Tests of the benchmark's own instruments."""
