"""Decode, call one command or query, encode."""
