"""Settings of promos."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Promos' own settings beside the shared ones."""

    wrong_codes_per_minute: Annotated[int, Field(ge=1)] = 30
    """Codes that a member may guess wrongly in a minute before it must wait."""
    wrong_codes_per_till: Annotated[int, Field(ge=1)] = 60
    """Codes that are not valid which one till, or one of the staff, may bring in a minute."""
    redemption_cancel_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """For how many days a redemption can be cancelled."""
