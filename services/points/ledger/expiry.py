"""The chore that lets points expire."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from services.common.batching import in_halves
from services.common.db import Database
from services.common.errors import DomainError, described, is_away
from services.common.set_aside import EXPIRY, forget_set_aside, ids_set_aside, set_aside
from services.points.ledger.account import OnMoved
from services.points.ledger.commands.expire_lots import (
    MOST_MEMBERS,
    Due,
    Expired,
    Taken,
    due_lots,
    expire_lots,
    expire_members,
)

EXPIRY_SECONDS = 60

log = logging.getLogger(__name__)


async def expire_due(db: Database, on_moved: OnMoved) -> int:
    """Takes all points whose time is over, batch after batch, each in a transaction of its own.

    Returns how many points. May be killed at any moment, and run by several at once. A member whose points
    can not be taken is set aside, and holds up nobody else.
    """
    run = _Run(db, on_moved)
    points, members = await run.all()
    if points:
        log.info("points expired", extra={"data": {"points": points, "members": members}})
    return points


class _Run:
    """One run of the chore, and whom it passes by."""

    def __init__(self, db: Database, on_moved: OnMoved) -> None:
        self._db = db
        self._on_moved = on_moved
        self._passed_by: set[UUID] = set()

    async def all(self) -> tuple[int, int]:
        """Takes what is due; returns how many points, of how many members."""
        self._passed_by = set(map(UUID, await self._db.read(ids_set_aside, EXPIRY, due=False)))
        tried_again = set(await self._db.read(ids_set_aside, EXPIRY, due=True))
        points = members = 0
        place: Due | None = None
        more = True
        while more:
            batch = await self._batch(place)
            points, members = points + batch.points, members + len(batch.members)
            place, more = batch.last, batch.more
        well = tried_again - set(map(str, self._passed_by))
        if well:
            await self._db.run(forget_set_aside, EXPIRY, sorted(well))
        return points, members

    async def _batch(self, place: Due | None) -> Expired:
        try:
            batch = await self._db.run(expire_lots, place, without=self._passed_by)
        except Exception as error:
            if is_away(error):
                raise
        else:
            await self._on_moved(batch.members)
            return batch
        return await self._in_halves(place)

    async def _in_halves(self, place: Due | None) -> Expired:
        """Finds whose points can not be taken, and takes those of the others."""
        log.warning("points of somebody among %d members can not be taken", MOST_MEMBERS)
        due = await self._db.read(due_lots, place, without=self._passed_by)
        members = sorted({lot.member_id for lot in due})
        outcomes = await in_halves(self._take, members, name="expiry")
        taken: list[Taken] = []
        failed = 0
        for member_id, outcome in zip(members, outcomes, strict=True):
            if isinstance(outcome, Exception):
                failed += 1
                await self._set_aside(member_id, outcome)
            else:
                taken += outcome
        points = sum(one.points for one in taken)
        # Who failed is passed by from now on, so the same place finds only what these left.
        more, last = (True, place) if failed else (len(due) == MOST_MEMBERS, due[-1] if due else place)
        return Expired([one.member_id for one in taken], points, more=more, last=last)

    async def _take(self, members: list[UUID]) -> Sequence[Sequence[Taken] | DomainError]:
        taken = {one.member_id: one for one in await self._db.run(expire_members, members)}
        await self._on_moved(taken)
        return [[taken[member_id]] if member_id in taken else [] for member_id in members]

    async def _set_aside(self, member_id: UUID, error: Exception) -> None:
        if is_away(error):
            raise error
        log.error("points of member %s can not be taken: it is set aside", member_id, exc_info=error)
        self._passed_by.add(member_id)
        await self._db.run(set_aside, EXPIRY, str(member_id), described(error))
