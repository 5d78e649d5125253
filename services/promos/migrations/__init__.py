"""Promos' chain of migrations."""
