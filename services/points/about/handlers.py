"""ProgrammeService: what an app must know before anybody logs in."""

from __future__ import annotations

from scrip.points.v1 import programme_pb2

from services.common.currencies import DECIMALS
from services.common.encoding import Context
from services.common.ids import utc_now
from services.points.balances.encoding import refund_policy
from services.points.earning import RuleBook
from services.points.programme import PointValue
from services.points.settings import Settings


class ProgrammeHandlers:
    """Implements ProgrammeService. It asks no database: all is in the settings and in the rule book."""

    def __init__(self, settings: Settings, rules: RuleBook, point_value: PointValue | None) -> None:
        self._programme = _encoded(settings, point_value)
        self._rules = rules

    async def GetProgramme(
        self, request: programme_pb2.GetProgrammeRequest, context: Context
    ) -> programme_pb2.GetProgrammeResponse:
        """Returns the programme."""
        rate = self._rules.current.at(utc_now()).rate
        reply = programme_pb2.GetProgrammeResponse(programme=self._programme)
        reply.programme.base_rate.points = rate.points
        reply.programme.base_rate.per_minor = rate.per_minor
        return reply


def _encoded(settings: Settings, point_value: PointValue | None) -> programme_pb2.Programme:
    """Returns what never changes while the process runs."""
    programme = programme_pb2.Programme(
        name=settings.programme_name,
        currency_code=settings.currency,
        currency_decimals=DECIMALS[settings.currency],
        time_zone=settings.time_zone.key,
        expire_months=settings.expire_months,
        refund_policy=refund_policy(settings.refund_policy),
        phone_regions=filter(None, settings.phone_regions.split(",")),
        consent_wording=settings.consent_wording,
        consent_version=settings.consent_version,
    )
    if point_value:
        programme.point_value.points = point_value.points
        programme.point_value.value.currency_code = point_value.currency_code
        programme.point_value.value.amount_minor = point_value.amount_minor
    return programme
