"""Alembic's entry point."""

from services.common.migrations import run_environment
from services.identity.tables import Base

run_environment(Base.metadata)
