"""The tests that `make test-quick` leaves out beside those that run all of Scrip."""

from __future__ import annotations

from pathlib import Path

SLOW = frozenset(Path(__file__).with_suffix(".txt").read_text().split())
"""Their names, without what they are parametrized with: each takes more than half a second on a calm
machine, or more than a second in all its cases."""
