"""Alembic's entry point."""

from services.common.migrations import run_environment
from services.points.tables import Base

run_environment(Base.metadata)
