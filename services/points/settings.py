"""Settings of points."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Points' own settings beside the shared ones."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    """ISO 4217 code of the programme's currency; receipts in another are refused."""
    earn_points: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Points that each full `earn_per_minor` of eligible spend earns."""
    earn_per_minor: Annotated[int, Field(ge=1)] = 1_000
    """Minor units of eligible spend, such as cents, that earn `earn_points`."""
    code_offline_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400
    """How long after its end a signed member code may be reported by a till that was offline. The sale
    itself must lie within the code's minute."""
