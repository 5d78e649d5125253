"""What lists of codes read where there are many, and what an export keeps in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from services.common.db import Connection, Database, execute
from services.common.paging import Page
from services.promos.code_files.queries import IMPORTS, REFUSED_LINES
from services.promos.codes import CODE_EVENTS, CODE_LIST, get_code_set, select_codes
from tests.databases import new_database
from tests.inprocess import Platform
from tests.plans import indexes_used, rows_read

MANY, FEW = 20_000, 5
WAITING, GIVEN, HANDED_OUT, USED, OTHERS = (UUID(int=number) for number in range(1, 6))
"""Large sets: nearly all codes READY, ASSIGNED, BEARER, used up; and many small ones beside them."""


@pytest.fixture(scope="module")
async def many(platform: Platform) -> AsyncIterator[Database]:
    """Four sets of 20,000 codes; the last few of each are in another state than the others."""
    url = await new_database(platform.postgres, "promos")
    database = Database(url, pool_size=2)
    await database.run(_fill)
    await database.run(execute, "ANALYZE")
    yield database
    await database.close()


async def _fill(connection: Connection) -> None:
    sets: list[tuple[UUID, str, str, int, int]] = [
        (WAITING, "DISCOUNT", "READY", 0, 1),
        (GIVEN, "DISCOUNT", "ASSIGNED", 0, 2),
        (HANDED_OUT, "HANDED_OUT", "BEARER", 0, 3),
        (USED, "HANDED_OUT", "BEARER", 1, 4),
    ]
    for code_set_id, purpose, state, uses, number in sets:
        await execute(
            connection,
            """
            INSERT INTO code_sets (id, purpose, percent_off) VALUES (%(id)s, %(purpose)s, 30)
            """,
            id=code_set_id,
            purpose=purpose,
        )
        await execute(
            connection,
            """
            INSERT INTO codes (id, code_set_id, code, shuffle, state, owner_member_id, uses, uses_allowed)
            SELECT
              uuidv7(), %(id)s, 'C' || %(number)s || '-' || i, i,
              CASE
                WHEN i <= %(many)s - 2 * %(few)s THEN %(state)s
                WHEN i <= %(many)s - %(few)s THEN 'VOID'
                WHEN %(state)s = 'READY' THEN 'ASSIGNED'
                WHEN %(state)s = 'ASSIGNED' THEN 'READY'
                ELSE 'BEARER'
              END,
              CASE
                WHEN i <= %(many)s - 2 * %(few)s AND %(state)s = 'ASSIGNED' THEN %(id)s
                WHEN i > %(many)s - %(few)s AND %(state)s = 'READY' THEN %(id)s
              END,
              CASE WHEN i <= %(many)s - 2 * %(few)s THEN %(uses)s ELSE 0 END, 1
            FROM generate_series(1, %(many)s) AS i
            """,
            id=code_set_id,
            number=number,
            state=state,
            uses=uses,
            many=MANY,
            few=FEW,
        )
    await execute(
        connection,
        """
        UPDATE codes SET uses = 1
        WHERE code_set_id = %(id)s AND state = 'BEARER' AND shuffle > %(many)s - %(few)s
        """,
        id=HANDED_OUT,
        many=MANY,
        few=FEW,
    )
    await execute(
        connection,
        """
        INSERT INTO redemptions (id, code_id, code_set_id, caller_id, sale_reference)
        SELECT uuidv7(), id, code_set_id, %(caller)s, code FROM codes WHERE uses > 0
        """,
        caller=OTHERS,
    )


@pytest.mark.parametrize(
    ("code_set_id", "state", "index"),
    [
        (WAITING, None, "ix_codes_code_set_id"),
        (WAITING, "READY", "ix_codes_ready"),
        (WAITING, "USABLE", "ix_codes_given"),
        (WAITING, "VOID", "ix_codes_given"),
        (GIVEN, "READY", "ix_codes_ready"),
        (GIVEN, "USABLE", None),
        (GIVEN, "VOID", "ix_codes_given"),
        (HANDED_OUT, "USABLE", None),
        (HANDED_OUT, "VOID", "ix_codes_given"),
        (HANDED_OUT, "USED", "ix_redemptions_code_set_id"),
        (USED, "USED", None),
        (USED, "VOID", "ix_codes_given"),
    ],
    ids=str,
)
async def test_codes_in_any_state_are_found_among_many(
    many: Database, code_set_id: UUID, state: Any, index: str | None
) -> None:
    selected = await many.read(select_codes, await many.read(get_code_set, code_set_id), state)
    wanted = {"page": Page(50, "", "x"), "order_by": selected.order_by, **selected.filters}
    assert await rows_read(many, CODE_LIST.page, **wanted) < 600
    if index:
        assert index in await indexes_used(many, CODE_LIST.page, **wanted)


async def test_the_history_of_a_code_and_imports_read_little_among_many(many: Database) -> None:
    page = Page(50, "", "x")
    some: list[tuple[Any, dict[str, object]]] = [
        (CODE_EVENTS.page, {"code_id": OTHERS}),
        (CODE_LIST.page, {"code_set_id": HANDED_OUT, "bearer": True, "unused": True, "not_ended": True}),
        (IMPORTS.page, {"code_set_id": OTHERS}),
        (REFUSED_LINES.page, {"import_id": OTHERS}),
    ]
    for query, wanted in some:
        assert await rows_read(many, query, page=page, **wanted) < 600
