"""Copies of codes, so that a wallet is shown without asking promos.

promos asks nobody whether a code is used, and tells when one was, its use was given back or it was withdrawn;
a message may come again, and before or after promos was asked. The version decides which is newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.common.db import Connection, Database, execute, fetch_all
from services.vouchers.wallet.codes_client import Code, CodesReader


class CodeCopies:
    """The codes of wallets, with their state."""

    def __init__(self, db: Database, reader: CodesReader) -> None:
        self._db = db
        self._reader = reader

    async def get(self, code_ids: Sequence[UUID]) -> dict[UUID, Code]:
        """Returns codes by id, 200 at most; asks promos for those that were never asked for.

        Raises OutcomeUnknownError when promos is needed and away.
        """
        if not code_ids:
            return {}
        codes = {code.id: code for code in await self._db.read(_copies, code_ids)}
        missing = [code_id for code_id in code_ids if code_id not in codes]
        if missing:
            found = await self._reader.get(missing)
            await self._db.run(keep_codes, found)
            # Not what promos replied: a message about it may have come first, and be newer.
            codes |= {code.id: code for code in await self._db.read(_copies, missing)}
        return codes


async def keep_codes(connection: Connection, codes: Sequence[Code]) -> None:
    """Keeps what promos replied, unless something newer is known."""
    rows = sorted(codes, key=lambda code: code.id)
    await execute(
        connection,
        """
        INSERT INTO wallet_codes AS k (code_id, code, state, version, expires_at)
        SELECT g.id, g.code, g.state, g.version, g.expires_at
        FROM unnest(
          %(ids)s::uuid[], %(texts)s::text[], %(states)s::text[], %(versions)s::bigint[],
          %(expires_ats)s::timestamptz[]
        ) AS g (id, code, state, version, expires_at)
        ON CONFLICT (code_id) DO UPDATE SET
          code = excluded.code,
          state = CASE WHEN k.version < excluded.version THEN excluded.state ELSE k.state END,
          expires_at = CASE WHEN k.version < excluded.version THEN excluded.expires_at ELSE k.expires_at END,
          version = greatest(k.version, excluded.version)
        """,
        ids=[code.id for code in rows],
        texts=[code.text for code in rows],
        states=[code.state for code in rows],
        versions=[code.version for code in rows],
        expires_ats=[code.expires_at for code in rows],
    )


async def keep_code_state(
    connection: Connection, *, code_id: UUID, state: str, version: int, expires_at: datetime | None
) -> None:
    """Keeps what promos told of a code, unless something newer is known; a repetition changes nothing."""
    await execute(
        connection,
        """
        INSERT INTO wallet_codes AS k (code_id, state, version, expires_at)
        VALUES (%(code_id)s, %(state)s, %(version)s, %(expires_at)s)
        ON CONFLICT (code_id) DO UPDATE SET
          state = excluded.state, version = excluded.version, expires_at = excluded.expires_at
        WHERE k.version < excluded.version
        """,
        code_id=code_id,
        state=state,
        version=version,
        expires_at=expires_at,
    )


async def _copies(connection: Connection, code_ids: Sequence[UUID]) -> list[Code]:
    return await fetch_all(
        connection,
        Code,
        """
        SELECT
          code_id AS id, code AS text, version, expires_at,
          CASE WHEN state = 'USABLE' AND expires_at <= now() THEN 'EXPIRED' ELSE state END AS state
        FROM wallet_codes WHERE code_id = ANY(%(ids)s) AND code IS NOT NULL
        """,
        ids=list(code_ids),
    )
