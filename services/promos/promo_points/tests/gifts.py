"""Calls that tests of promo points make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scrip.promos.v1 import promo_pb2, promo_pb2_grpc

from services.common.ids import new_id
from services.promos.tests.support import Promos
from tests import invariants
from tests.inprocess import Member, as_apps_do, bearer

_WELCOME = promo_pb2.PROMO_TYPE_WELCOME


def keyed(token: str, key: str = "") -> tuple[tuple[str, str], ...]:
    """Returns the metadata of a call with an `Idempotency-Key`, a new one unless given."""
    return (*bearer(token), ("idempotency-key", key or str(new_id())))


@dataclass
class Gifts:
    """Promos, with those who call."""

    promos: Promos

    @property
    def staff(self) -> promo_pb2_grpc.PromoServiceStub:
        """PromoService."""
        return promo_pb2_grpc.PromoServiceStub(self.promos.channel)

    @property
    def mine(self) -> promo_pb2_grpc.MyPromoServiceStub:
        """MyPromoService."""
        return promo_pb2_grpc.MyPromoServiceStub(self.promos.channel)

    async def give(
        self, member: Member, amount: int = 100, *, key: str = "", token: str = "", **fields: Any
    ) -> promo_pb2.Promo:
        """Gives a member a promo."""
        wanted = {"type": _WELCOME, "description": "Welcome to the programme", **fields}
        request = promo_pb2.CreatePromoRequest(member_id=str(member.id), amount=amount, **wanted)
        metadata = keyed(token or self.promos.admin, key)
        return (await as_apps_do(lambda: self.staff.CreatePromo(request, metadata=metadata))).promo

    async def get(self, promo_id: str) -> promo_pb2.Promo:
        """Reads a promo, as staff."""
        request = promo_pb2.GetPromoRequest(promo_id=promo_id)
        return (await self.staff.GetPromo(request, metadata=bearer(self.promos.admin))).promo

    async def update(self, promo_id: str, **fields: Any) -> promo_pb2.Promo:
        """Changes a promo."""
        request = promo_pb2.UpdatePromoRequest(promo_id=promo_id, **fields)
        return (await self.staff.UpdatePromo(request, metadata=bearer(self.promos.admin))).promo

    async def delete(self, promo_id: str, etag: str = "") -> None:
        """Deletes a promo."""
        request = promo_pb2.DeletePromoRequest(promo_id=promo_id, etag=etag)
        await self.staff.DeletePromo(request, metadata=bearer(self.promos.admin))

    async def list_all(self, **filters: Any) -> promo_pb2.ListPromosResponse:
        """Lists promos, as staff."""
        request = promo_pb2.ListPromosRequest(**filters)
        return await self.staff.ListPromos(request, metadata=bearer(self.promos.admin))

    async def uses(self, promo_id: str) -> list[promo_pb2.PromoUse]:
        """Returns the uses of a promo, the latest first."""
        request = promo_pb2.ListPromoUsesRequest(promo_id=promo_id)
        reply = await self.staff.ListPromoUses(request, metadata=bearer(self.promos.admin))
        return list(reply.uses)

    async def use(self, member: Member, promo_id: str, amount: int, *, key: str = "") -> promo_pb2.PromoUse:
        """Uses points of a promo, as its member."""
        request = promo_pb2.UsePromoPointsRequest(promo_id=promo_id, amount=amount)
        metadata = keyed(member.token, key)
        return (await as_apps_do(lambda: self.mine.UsePromoPoints(request, metadata=metadata))).use

    async def list_mine(self, member: Member, **filters: Any) -> list[promo_pb2.Promo]:
        """Returns a member's promos."""
        request = promo_pb2.ListMyPromosRequest(**filters)
        return list((await self.mine.ListMyPromos(request, metadata=bearer(member.token))).promos)

    async def at_till(
        self, member_code: str, amount: int, sale: str, *, till: str = "", number: str = ""
    ) -> promo_pb2.UsePromosResponse:
        """Uses points of a member's promos for a sale."""
        request = promo_pb2.UsePromosRequest(
            member_code=member_code, amount=amount, sale_reference=sale, till_number=number
        )
        metadata = bearer(till or self.promos.till)
        return await as_apps_do(lambda: self.staff.UsePromos(request, metadata=metadata))

    async def cancel(self, promo_use_id: str, token: str = "") -> list[promo_pb2.PromoUse]:
        """Gives back what was used."""
        request = promo_pb2.CancelPromoUseRequest(promo_use_id=promo_use_id)
        reply = await self.staff.CancelPromoUse(request, metadata=bearer(token or self.promos.till))
        return list(reply.uses)

    async def assert_adds_up(self) -> None:
        """What must hold at any moment."""
        invariants.check_promo_points(self.promos.platform.postgres.url("promos"))
