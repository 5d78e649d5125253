"""Settings of points."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.common.settings import ServiceSettings
from services.points.programme import RefundPolicy


class Settings(ServiceSettings):
    """Points' own settings beside the shared ones."""

    earn_points: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Points that each full `earn_per_minor` of eligible spend earns."""
    earn_per_minor: Annotated[int, Field(ge=1)] = 1_000
    """Minor units of eligible spend, such as cents, that earn `earn_points`."""
    code_offline_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400
    """How long after its end a signed member code may be reported by a till that was offline. The sale
    itself must lie within the code's minute."""
    expire_months: Annotated[int, Field(ge=0, le=1_200)] = 0
    """After how many months points expire, at a day's end; 0 is never. Holds for what is credited from
    then on."""
    claim_days: Annotated[int, Field(ge=1, le=365)] = 14
    """For how many days after the sale a purchase without a member can be claimed."""
    refund_policy: RefundPolicy = RefundPolicy.DEBT
    """`debt`: points that a refund takes back and the balance can not give are owed, and paid by what is
    earned next. `negative_balance`: the balance goes below zero, down to `balance_floor`."""
    point_value_points: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """So many points are worth `point_value_minor`."""
    point_value_minor: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """What `point_value_points` are worth, in minor units of the currency; 0 gives points no value. Apps
    show it; it decides nothing."""
    balance_floor: Annotated[int, Field(ge=-1_000_000_000, le=0)] = -10_000
    """How far below zero a refund may take a balance, by the policy `negative_balance`."""
