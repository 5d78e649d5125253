"""Codes that are made when they are given away, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.common.db import Connection, execute, fetch_value
from services.common.errors import overloaded
from services.common.ids import new_id
from services.promos.codes import random_codes

_TRIES = 10


async def give_code(connection: Connection, *, code_set_id: UUID, owner_member_id: UUID) -> UUID:
    """Makes a code of the set for its owner; returns its id.

    One that exists already is thrown away and another is made. Raises OVERLOADED when ten exist already,
    which a sound random source does not do.
    """
    for _ in range(_TRIES):
        code_id: UUID | None = await fetch_value(
            connection,
            """
            INSERT INTO codes (
              id, code_set_id, code, shuffle, state, owner_member_id, uses_allowed, expires_at, assigned_at
            )
            SELECT
              %(id)s, id, %(code)s, 0, 'ASSIGNED', %(owner_member_id)s, uses_allowed,
              now() + interval '1 day' * valid_days, now()
            FROM code_sets WHERE id = %(code_set_id)s
            ON CONFLICT (code) DO NOTHING
            RETURNING id
            """,
            id=new_id(),
            code=random_codes.new_code(),
            owner_member_id=owner_member_id,
            code_set_id=code_set_id,
        )
        if code_id is not None:
            return code_id
    raise overloaded("codes")


async def discard_code(connection: Connection, code_id: UUID) -> None:
    """Removes a code that was made in this transaction, so that nobody has seen it."""
    await execute(connection, "DELETE FROM codes WHERE id = %(id)s", id=code_id)


async def void_unused_codes(connection: Connection, code_ids: Sequence[UUID]) -> None:
    """Voids those of these codes that were never used, of an account that was closed.

    Their sets get no others in their place.
    """
    await execute(
        connection,
        """
        WITH voided AS (
          UPDATE codes SET
            state = 'VOID', voided_at = now(), void_reason = 'ACCOUNT_CLOSED', version = version + 1
          WHERE id = ANY(%(ids)s) AND state = 'ASSIGNED' AND uses = 0
          RETURNING code_set_id
        ), counted AS (
          SELECT s.id, (SELECT count(*) FROM voided v WHERE v.code_set_id = s.id) AS codes
          FROM code_sets s
          WHERE s.id IN (SELECT code_set_id FROM voided) AND s.purpose <> 'CAMPAIGN'
          ORDER BY s.id
          FOR NO KEY UPDATE
        )
        UPDATE code_sets s SET voided = s.voided + c.codes, wanted = s.wanted - c.codes
        FROM counted c WHERE s.id = c.id
        """,
        ids=list(code_ids),
    )
