"""Alembic's entry point."""

from services.common.migrations import run_environment
from services.vouchers.models import Base

run_environment(Base.metadata)
