"""What the tests of baskets share: codes straight in the database, and the calls."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import grpc
from google.rpc import error_details_pb2
from psycopg.sql import SQL
from scrip.promos.v1 import basket_pb2, basket_pb2_grpc

from services.common.codes import random_code
from services.common.db import Connection, execute
from services.common.ids import new_id
from services.promos.benefits import BENEFIT_NAMES, BENEFIT_VALUES, AmountOff, Benefit, PercentOff, values
from services.promos.tests.support import Promos
from tests.inprocess import as_apps_do, bearer, refused_status

_sales = itertools.count(1)

_NEW_SET = SQL(
    """
    INSERT INTO code_sets (id, purpose, wanted, made, uses_allowed, uses_per_member, {names})
    VALUES (%(id)s, 'HANDED_OUT', 1, 1, %(uses)s, %(uses_per_member)s, {values})
    """
).format(names=BENEFIT_NAMES, values=BENEFIT_VALUES)


@dataclass(frozen=True)
class NewCode:
    """A code of a set of its own."""

    id: UUID
    code_set_id: UUID
    text: str


def percent(number: int, **conditions: Any) -> Benefit:
    """Returns so many percent off; `currency` is USD when there is an amount among the conditions."""
    amounts = {"minimum_spend", "maximum_discount"} & conditions.keys()
    return Benefit(PercentOff(number), **{"currency": "USD" if amounts else None, **conditions})


def amount(minor: int, **conditions: Any) -> Benefit:
    """Returns an amount off."""
    return Benefit(AmountOff(minor), **{"currency": "USD", **conditions})


def line(total: int, category: str = "", **fields: Any) -> basket_pb2.BasketLine:
    """Returns a line of one piece."""
    return basket_pb2.BasketLine(category=category, unit_price_minor=total, quantity=1, **fields)


def reason_of(code: basket_pb2.QuotedCode) -> str:
    """Returns why a code does not apply."""
    info = error_details_pb2.ErrorInfo()
    assert code.WhichOneof("outcome") == "refused", code
    assert code.refused.details[0].Unpack(info)
    return info.reason


@dataclass
class Baskets:
    """BasketService, as its callers see it."""

    promos: Promos

    @property
    def stub(self) -> basket_pb2_grpc.BasketServiceStub:
        """BasketService."""
        return basket_pb2_grpc.BasketServiceStub(self.promos.channel)

    async def code(
        self,
        benefit: Benefit,
        *,
        owner: UUID | None = None,
        uses: int = 1,
        uses_per_member: int | None = None,
        state: str = "",
        like: NewCode | None = None,
    ) -> NewCode:
        """Returns a code of its own set, or that of `like`; for any bearer when it has no owner."""
        new = NewCode(new_id(), like.code_set_id if like else new_id(), random_code(12))

        async def insert(connection: Connection) -> None:
            if like is None:
                await execute(
                    connection,
                    _NEW_SET,
                    id=new.code_set_id,
                    uses=uses,
                    uses_per_member=uses_per_member,
                    **values(benefit),
                )
            else:
                count = "UPDATE code_sets SET wanted = wanted + 1, made = made + 1 WHERE id = %(id)s"
                await execute(connection, count, id=new.code_set_id)
            await execute(
                connection,
                """
                INSERT INTO codes (id, code_set_id, code, shuffle, state, owner_member_id, uses_allowed)
                VALUES (%(id)s, %(code_set_id)s, %(code)s, 0, %(state)s, %(owner)s, %(uses)s)
                """,
                id=new.id,
                code_set_id=new.code_set_id,
                code=new.text,
                state=state or ("ASSIGNED" if owner else "BEARER"),
                owner=owner,
                uses=uses,
            )

        await self.promos.db.run(insert)
        return new

    async def quote(
        self, lines: Sequence[basket_pb2.BasketLine], /, *codes: NewCode | str, token: str = "", **fields: Any
    ) -> basket_pb2.QuoteBasketResponse:
        """Quotes a basket, as the till."""
        request = basket_pb2.QuoteBasketRequest(
            **{"lines": lines, "codes": map(_text, codes), "currency_code": "USD", **fields}
        )
        return await self.stub.QuoteBasket(request, metadata=bearer(token or self.promos.till))

    async def redeem(
        self, lines: Sequence[basket_pb2.BasketLine], /, *codes: NewCode | str, token: str = "", **fields: Any
    ) -> basket_pb2.RedeemBasketResponse:
        """Redeems a basket, as the till; for a sale of its own, when none is given."""
        request = basket_pb2.RedeemBasketRequest(
            **{
                "lines": lines,
                "codes": map(_text, codes),
                "currency_code": "USD",
                "sale_reference": new_sale(),
                **fields,
            }
        )
        metadata = bearer(token or self.promos.till)
        return await as_apps_do(lambda: self.stub.RedeemBasket(request, metadata=metadata))

    async def uses(self, code: NewCode) -> int:
        """Returns how often a code was used."""
        return int(await self.promos.value("SELECT uses FROM codes WHERE id = %(id)s", id=code.id))


def new_sale() -> str:
    """Returns the reference of a sale that no other test has."""
    return f"basket-{next(_sales)}"


def _text(code: NewCode | str) -> str:
    return code if isinstance(code, str) else code.text


async def field_refused(call: Any) -> str:
    """Returns the first field for which a call was refused with VALIDATION_FAILED."""
    status, code = await refused_status(call)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    for detail in status.details:
        found = error_details_pb2.BadRequest()
        if detail.Unpack(found):
            return found.field_violations[0].field
    raise AssertionError(f"no field in {status}")
