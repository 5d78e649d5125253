"""Settings of promos."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Promos' own settings beside the shared ones."""

    wrong_codes_per_minute: Annotated[int, Field(ge=1)] = 30
    """Codes that one caller may guess wrongly in a minute before it must wait."""
    max_watchers: Annotated[int, Field(ge=1)] = 500
    """Live streams per process."""
