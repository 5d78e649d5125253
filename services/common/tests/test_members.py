"""What a service knows of members is the same, in whatever order events arrive, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest

from services.common.db import Connection, Database, fetch_one
from services.common.ids import new_id
from services.common.members import (
    Closed,
    ConsentChanged,
    FirstLogin,
    MemberEvent,
    PhoneChanged,
    Registered,
    Restored,
    Suspended,
    keep_member_event,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Known:
    """A row of `members`, without the id."""

    version: int
    status: str
    registered_at: datetime | None
    first_login_at: datetime | None


def event(kind: type[MemberEvent], member_id: UUID, version: int) -> MemberEvent:
    """Returns an event that happened `version` days after the beginning."""
    moment = BEGIN + timedelta(days=version)
    return kind(new_id(), member_id, version, moment, None, shares_contact=False)


async def known(db: Database, member_id: UUID) -> Known:
    """Returns what is known of a member."""

    async def read(connection: Connection) -> Known:
        return await fetch_one(
            connection,
            Known,
            """
            SELECT version, status, registered_at, first_login_at FROM members WHERE member_id = %(id)s
            """,
            id=member_id,
        )

    return await db.read(read)


LIVES: list[tuple[list[type[MemberEvent]], str]] = [
    ([Registered, FirstLogin, Suspended], "SUSPENDED"),
    ([Registered, Suspended, PhoneChanged], "SUSPENDED"),
    ([Registered, Suspended, Restored], "ACTIVE"),
    ([Suspended, Restored, ConsentChanged], "ACTIVE"),
    ([FirstLogin, Restored, Suspended], "SUSPENDED"),
]


@pytest.mark.covers("I7")
@pytest.mark.parametrize(("life", "status"), LIVES)
async def test_the_order_of_arrival_changes_nothing(
    db: Database, life: list[type[MemberEvent]], status: str
) -> None:
    for order in permutations(enumerate(life, 1)):
        member_id = new_id()
        for version, kind in (*order, *order):
            await db.run(keep_member_event, event(kind, member_id, version))
        found = await known(db, member_id)
        moments = {kind: BEGIN + timedelta(days=version) for version, kind in enumerate(life, 1)}
        assert found == Known(3, status, moments.get(Registered), moments.get(FirstLogin)), order


async def test_what_came_before_is_no_news(db: Database) -> None:
    member_id = new_id()
    kinds: list[type[MemberEvent]] = [Registered, FirstLogin, Suspended]
    life = [event(kind, member_id, version) for version, kind in enumerate(kinds, 1)]
    assert [await db.run(keep_member_event, one) for one in life] == [True, True, True]
    assert [await db.run(keep_member_event, one) for one in life] == [False, False, False]


async def test_a_suspension_that_comes_late_is_news_and_one_that_was_lifted_is_not(db: Database) -> None:
    member_id = new_id()
    assert await db.run(keep_member_event, event(PhoneChanged, member_id, 5))
    assert await db.run(keep_member_event, event(Suspended, member_id, 2))
    assert await db.run(keep_member_event, event(Restored, member_id, 4))
    assert not await db.run(keep_member_event, event(Suspended, member_id, 3))
    assert (await known(db, member_id)).status == "ACTIVE"


async def test_nothing_changes_for_a_member_who_is_gone(db: Database) -> None:
    member_id = new_id()
    assert await db.run(keep_member_event, event(Closed, member_id, 3))
    for version, kind in ((1, Registered), (2, FirstLogin), (4, Restored)):
        assert not await db.run(keep_member_event, event(kind, member_id, version))
    assert await known(db, member_id) == Known(3, "CLOSED", None, None)


async def test_a_second_first_login_is_no_news(db: Database) -> None:
    member_id = new_id()
    assert await db.run(keep_member_event, event(FirstLogin, member_id, 2))
    assert not await db.run(keep_member_event, event(FirstLogin, member_id, 3))
    assert (await known(db, member_id)).first_login_at == BEGIN + timedelta(days=2)
