"""Settings of vouchers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Vouchers' own settings beside the shared ones."""

    order_wait_seconds: Annotated[float, Field(gt=0, le=8)] = 5.0
    """How long PlaceOrder waits for an order to finish before it returns it as pending."""
    order_lease_seconds: Annotated[int, Field(ge=2, le=60)] = 10
    """How long the process that works on an order has it for itself; then the sweep takes over."""
    gift_days: Annotated[int, Field(ge=1, le=90)] = 14
    """How long a gift can be accepted before it returns to its giver."""
    gifts_per_day: Annotated[int, Field(ge=1)] = 50
    """Tries to give something that one member has in 24 hours."""
    payment_wait_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900
    """How long an order waits for its payment, before it is undone."""
    max_watchers: Annotated[int, Field(ge=1)] = 500
    """Live quantity streams per process."""
