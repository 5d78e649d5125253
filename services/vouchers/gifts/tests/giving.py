"""What the tests of gifts share: givers with a voucher, and the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from psycopg.sql import SQL
from scrip.common.v1 import qr_pb2
from scrip.identity.v1 import sandbox_pb2, sandbox_pb2_grpc
from scrip.promos.v1 import code_file_pb2, code_file_pb2_grpc, code_pb2, code_pb2_grpc
from scrip.vouchers.v1 import (
    catalogue_pb2,
    gift_pb2,
    gift_pb2_grpc,
    order_pb2,
    wallet_pb2,
    wallet_pb2_grpc,
)

from services.common.db import Connection, execute, fetch_value, fetch_values
from services.common.ids import new_id
from services.vouchers.gifts.commands import return_overdue_gifts
from services.vouchers.tests.support import Create, Earn, Order
from tests.inprocess import Member, Platform, as_apps_do, bearer

OFFERED, ACCEPTED, RETURNED = (
    gift_pb2.GIFT_STATE_OFFERED,
    gift_pb2.GIFT_STATE_ACCEPTED,
    gift_pb2.GIFT_STATE_RETURNED,
)
USABLE, ON_OFFER = wallet_pb2.WALLET_VOUCHER_STATE_USABLE, wallet_pb2.WALLET_VOUCHER_STATE_ON_OFFER


@dataclass
class Giving:
    """Gifts, as members see them."""

    platform: Platform
    create: Create
    earn: Earn
    order: Order

    @property
    def gifts(self) -> gift_pb2_grpc.GiftServiceStub:
        """GiftService."""
        return gift_pb2_grpc.GiftServiceStub(self.platform.channels["vouchers"])

    @property
    def wallets(self) -> wallet_pb2_grpc.WalletServiceStub:
        """WalletService."""
        return wallet_pb2_grpc.WalletServiceStub(self.platform.channels["vouchers"])

    async def voucher(self, **fields: Any) -> catalogue_pb2.Voucher:
        """Returns a voucher that may be given to others."""
        return await self.create(**{"buy_type": catalogue_pb2.BUY_TYPE_GIFT, **fields})

    async def owner(
        self, voucher: catalogue_pb2.Voucher | None = None, pieces: int = 1
    ) -> tuple[Member, list[str]]:
        """Returns a member who has pieces of a voucher, with the ids of those."""
        voucher = voucher or await self.voucher()
        member = await self.platform.member()
        await self.earn(member, 500 * pieces)
        placed = [await self.order(member, voucher.id) for _ in range(pieces)]
        return member, [one.order.wallet_voucher_id for one in placed]

    async def give(
        self,
        giver: Member,
        wallet_voucher_id: str,
        phone: str,
        *,
        key: str = "",
        name: str = "Grace Hopper",
        message: str = "",
    ) -> gift_pb2.GivenGift:
        """Gives a voucher to a number."""
        to = order_pb2.GiftRecipient(phone_number=phone, name=name, message=message)
        request = gift_pb2.GiveVoucherRequest(wallet_voucher_id=wallet_voucher_id, recipient=to)
        metadata = bearer(giver.token, idempotency_key=key or str(new_id()))
        return (await as_apps_do(lambda: self.gifts.GiveVoucher(request, metadata=metadata))).gift

    async def accept(self, member: Member, gift_id: str) -> gift_pb2.Gift:
        """Accepts a gift."""
        request = gift_pb2.AcceptGiftRequest(gift_id=gift_id)
        return (await self.gifts.AcceptGift(request, metadata=bearer(member.token))).gift

    async def decline(self, member: Member, gift_id: str) -> None:
        """Declines a gift."""
        request = gift_pb2.DeclineGiftRequest(gift_id=gift_id)
        await self.gifts.DeclineGift(request, metadata=bearer(member.token))

    async def withdraw(self, giver: Member, gift_id: str) -> gift_pb2.GivenGift:
        """Takes a gift back."""
        request = gift_pb2.WithdrawGiftRequest(gift_id=gift_id)
        return (await self.gifts.WithdrawGift(request, metadata=bearer(giver.token))).gift

    async def received(
        self, member: Member, state: gift_pb2.GiftState.ValueType = OFFERED
    ) -> Sequence[gift_pb2.Gift]:
        """Returns the gifts of a member."""
        request = gift_pb2.ListMyGiftsRequest(state=state)
        return (await self.gifts.ListMyGifts(request, metadata=bearer(member.token))).gifts

    async def given(self, member: Member, **fields: Any) -> Sequence[gift_pb2.GivenGift]:
        """Returns the gifts that a member gave."""
        request = gift_pb2.ListMyGivenGiftsRequest(**fields)
        return (await self.gifts.ListMyGivenGifts(request, metadata=bearer(member.token))).gifts

    async def wallet(self, member: Member, **fields: Any) -> Sequence[wallet_pb2.WalletVoucher]:
        """Returns what a member owns."""
        request = wallet_pb2.ListMyVouchersRequest(**fields)
        reply = await as_apps_do(lambda: self.wallets.ListMyVouchers(request, metadata=bearer(member.token)))
        return reply.vouchers

    async def qr(self, member: Member, wallet_voucher_id: str) -> bytes:
        """Returns the code of a voucher as an image."""
        request = wallet_pb2.GetMyVoucherQrRequest(
            wallet_voucher_id=wallet_voucher_id, format=qr_pb2.QR_FORMAT_SVG
        )
        return (await self.wallets.GetMyVoucherQr(request, metadata=bearer(member.token))).data

    async def redeem(self, code: str) -> code_pb2.RedeemCodeResponse:
        """Uses a code at a till."""
        stub = code_pb2_grpc.CodeServiceStub(self.platform.channels["promos"])
        request = code_pb2.RedeemCodeRequest(code=code, sale_reference=str(new_id()))
        return await stub.RedeemCode(request, metadata=bearer(await self.platform.till()))

    async def code(self, giver: Member, wallet_voucher_id: str) -> str:
        """Returns the code of a voucher."""
        [code] = [one.code for one in await self.wallet(giver) if one.id == wallet_voucher_id]
        return code

    async def told(self, giver: Member) -> list[sandbox_pb2.SandboxNotice]:
        """Returns what identity sent, or will send, about the gifts of a member."""
        stub = sandbox_pb2_grpc.SandboxServiceStub(self.platform.channels["identity"])
        request = sandbox_pb2.ListSandboxNoticesRequest(member_id=str(giver.id))
        reply = await stub.ListSandboxNotices(request, metadata=bearer(await self.platform.admin()))
        return list(reply.notices)

    async def value(self, query: str, service: str = "vouchers", **values: Any) -> Any:
        """Returns the value that a query finds."""
        return await self.platform.databases[service].read(partial(_value, query=query, values=values))

    async def run(self, query: str, service: str = "vouchers", **values: Any) -> None:
        """Changes what no call changes."""
        await self.platform.databases[service].run(partial(_run, query=query, values=values))

    async def return_overdue(self) -> None:
        """Does what the worker does now and then."""
        while await self.platform.databases["vouchers"].run(return_overdue_gifts):
            pass

    async def has_ended(self, gift_id: str) -> None:
        """Asserts that a gift is on its way no more."""
        query = "SELECT state FROM gifts WHERE id = %(id)s"
        assert await self.value(query, id=UUID(gift_id)) in ("ACCEPTED", "RETURNED")

    async def void(self, code_id: UUID) -> None:
        """Withdraws a code, as staff do."""
        stub = code_file_pb2_grpc.CodeFileServiceStub(self.platform.channels["promos"])
        request = code_file_pb2.VoidCodeRequest(code_id=str(code_id), note="stolen")
        await stub.VoidCode(request, metadata=bearer(await self.platform.admin()))

    async def tables_with(self, words: str) -> list[str]:
        """Returns in which tables of vouchers, identity and promos a text is found, accounts aside."""
        found = []
        for service in ("vouchers", "identity", "promos"):
            names = await self.platform.databases[service].read(_tables)
            found += [
                f"{service}.{name}"
                for name in names
                if name not in ("accounts", "otps", "procrastinate_events")
                and await self.value(
                    f'SELECT EXISTS (SELECT FROM "{name}" t WHERE strpos(t::text, %(words)s) > 0)',
                    service,
                    words=words,
                )
            ]
        return found


async def _value(connection: Connection, query: str, values: dict[str, Any]) -> Any:
    return await fetch_value(connection, SQL(query), **values)


async def _run(connection: Connection, query: str, values: dict[str, Any]) -> None:
    await execute(connection, SQL(query), **values)


async def _tables(connection: Connection) -> Sequence[str]:
    return await fetch_values(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
