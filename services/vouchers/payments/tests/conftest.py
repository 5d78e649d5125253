"""A database of vouchers that no other process works on, with a payment method."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from services.common.caller import Caller
from services.common.db import Database
from services.common.ids import new_id
from services.vouchers.payments.commands import NewMethod, create_method
from services.vouchers.payments.tests.bank import BANK, Bank, Due
from stack.postgres import Postgres
from tests.databases import new_database

STAFF = Caller(str(new_id()), "admin")


@pytest.fixture(scope="session")
async def payments_db(postgres: Postgres) -> AsyncIterator[Database]:
    """The database."""
    url = await new_database(postgres, "vouchers")
    database = Database(url, pool_size=10)
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def method_id(payments_db: Database) -> UUID:
    """A payment method of the bank."""
    new = NewMethod("Card", BANK, active=True, position=1, description="")
    return (await payments_db.run(create_method, actor=STAFF, new=new)).id


@pytest.fixture
def due(method_id: UUID) -> Due:
    """An order that costs 12.50 in money."""
    return Due(payment_method_id=method_id)


@pytest.fixture
def bank() -> Bank:
    """A bank that does as it is told."""
    return Bank()
