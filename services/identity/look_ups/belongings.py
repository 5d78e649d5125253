"""What the other services know of a member: asked of all at once, each within a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from scrip.identity.v1 import look_up_pb2
from scrip.points.internal.v1 import points_pb2, points_pb2_grpc
from scrip.promos.internal.v1 import promos_pb2, promos_pb2_grpc
from scrip.vouchers.internal.v1 import vouchers_pb2, vouchers_pb2_grpc

from services.common import channels
from services.common.errors import DomainError

log = logging.getLogger(__name__)

_SECONDS = 1.0
"""Somebody stands at the till: what is not there by then is left out, and the answer says so."""


@dataclass(frozen=True)
class Belongings:
    """What a member has; None is what could not be had in time."""

    points: points_pb2.GetBalanceResponse | None
    coupons: vouchers_pb2.GetUsableCouponsResponse | None
    rewards: promos_pb2.GetUsableRewardsResponse | None
    claims: promos_pb2.GetUsableClaimsResponse | None
    promos: promos_pb2.GetUsablePromosResponse | None

    @property
    def unavailable(self) -> list[look_up_pb2.LookUpPart.ValueType]:
        """Returns the parts that could not be had."""
        parts = {
            look_up_pb2.LOOK_UP_PART_POINTS: self.points,
            look_up_pb2.LOOK_UP_PART_COUPONS: self.coupons,
            look_up_pb2.LOOK_UP_PART_REWARDS: self.rewards,
            look_up_pb2.LOOK_UP_PART_CLAIMS: self.claims,
            look_up_pb2.LOOK_UP_PART_PROMO_POINTS: self.promos,
        }
        return [part for part, had in parts.items() if had is None]


class BelongingsReader:
    """Asks the other services what a member has."""

    def __init__(self, targets: Mapping[str, grpc.aio.Channel], token: channels.TokenSource) -> None:
        self._points = points_pb2_grpc.PointsInternalServiceStub(targets["points"])
        self._vouchers = vouchers_pb2_grpc.VouchersInternalServiceStub(targets["vouchers"])
        self._promos = promos_pb2_grpc.PromosInternalServiceStub(targets["promos"])
        self._token = token

    async def read(self, member_id: str) -> Belongings:
        """Returns what a member has. Raises nothing: a service that is away keeps nobody from selling."""
        points, coupons, rewards, claims, promos = await asyncio.gather(
            self._ask("points", self._points.GetBalance, points_pb2.GetBalanceRequest(member_id=member_id)),
            self._ask(
                "vouchers",
                self._vouchers.GetUsableCoupons,
                vouchers_pb2.GetUsableCouponsRequest(member_id=member_id),
            ),
            self._ask(
                "promos",
                self._promos.GetUsableRewards,
                promos_pb2.GetUsableRewardsRequest(member_id=member_id),
            ),
            self._ask(
                "promos", self._promos.GetUsableClaims, promos_pb2.GetUsableClaimsRequest(member_id=member_id)
            ),
            self._ask(
                "promos", self._promos.GetUsablePromos, promos_pb2.GetUsablePromosRequest(member_id=member_id)
            ),
        )
        return Belongings(points, coupons, rewards, claims, promos)

    async def _ask(self, service: str, method: Callable[..., Awaitable[Any]], request: object) -> Any:
        try:
            return await channels.call(service, method, request, token=self._token, seconds=_SECONDS)
        except DomainError as error:
            log.warning("a look-up goes without %s: %s", service, error)
            return None
