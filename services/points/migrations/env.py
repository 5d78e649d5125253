"""Alembic's entry point."""

from services.common.migrations import run_environment
from services.common.tables import load_tables

run_environment(load_tables("points"))
