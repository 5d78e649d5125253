"""Claiming codes, many in one statement; each claim stands or falls alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.common.db import Connection, fetch_all
from services.common.errors import DomainError, overloaded
from services.common.idempotency import reused
from services.common.members import CLOSED, SUSPENDED
from services.promos.claims import refusals
from services.promos.claims.queries import DiscountState
from services.promos.claims.statements import CLAIM, JUDGE
from services.promos.webhooks import NewEvent, queue_events

_SHUFFLE_END = 2**31


@dataclass(frozen=True, slots=True)
class NewClaim:
    """A member wants a code of a discount.

    `agreed` says that identity was asked, and the member agrees to share contact data; else what is known
    here counts.
    """

    id: UUID
    discount_id: UUID
    brand_id: UUID
    member_id: UUID
    idempotency_key: str
    agreed: bool = False


Outcome = UUID | DomainError
"""The id of a claim, new or made before with the same key; or why there is none."""
_Waiting = Mapping[int, NewClaim]
"""Claims by their place in the list."""


@dataclass(frozen=True, slots=True)
class _Claimed:
    place: int
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class _Judged:
    place: int
    state: DiscountState | None
    published: bool
    in_window: bool
    claim_id: UUID | None
    same_key: bool | None
    key_used: bool
    status: str | None
    agreed: bool
    ready: bool | None
    lacking: bool | None


async def claim_codes(connection: Connection, claims: Sequence[NewClaim]) -> list[Outcome]:
    """Gives a code to each member who may claim one, and queues what brands are told of it.

    Returns an outcome for each: the claim's id, or DISCOUNT_NOT_FOUND, ACCOUNT_SUSPENDED, ACCOUNT_CLOSED,
    ALREADY_CLAIMED, IDEMPOTENCY_KEY_REUSED, DISCOUNT_NOT_OPEN, DISCOUNT_SOLD_OUT, DISCOUNT_NOT_READY,
    CONSENT_REQUIRED, or OVERLOADED when all ready codes are being held by somebody else.
    """
    outcomes: dict[int, Outcome] = {}
    waiting: _Waiting = dict(enumerate(claims))
    # Takers start at random points, for codes that were taken a moment ago take time to pass over; what is
    # left below the point is found from zero.
    for start in (random.randrange(_SHUFFLE_END), 0):  # noqa: S311  # spreads load, decides nothing
        outcomes |= await _claim(connection, waiting, start)
        rest = {place: claim for place, claim in waiting.items() if place not in outcomes}
        if not rest:
            break
        judged = await judge_claims(connection, list(rest.values()))
        outcomes |= {place: one for place, one in zip(rest, judged, strict=True) if one is not None}
        waiting = {place: claim for place, claim in rest.items() if place not in outcomes}
        if not waiting:
            break
    return [outcomes.get(place) or overloaded("claims") for place in range(len(claims))]


async def _claim(connection: Connection, waiting: _Waiting, start: int) -> dict[int, Outcome]:
    """Claims what can be claimed; returns the new claims."""
    leaders: dict[tuple[UUID, UUID], int] = {}
    for place, claim in waiting.items():
        leaders.setdefault((claim.discount_id, claim.member_id), place)
    places = list(leaders.values())
    claims = [waiting[place] for place in places]
    rows = await fetch_all(connection, _Claimed, CLAIM, start=start, **_arrays(claims))
    if rows:
        made = [(claims[row.place - 1], row.claimed_at) for row in rows]
        await queue_events(
            connection,
            [
                NewEvent(claim.brand_id, "claim.created", claim.id, claimed_at, claim.member_id)
                for claim, claimed_at in made
            ],
        )
    return {places[row.place - 1]: claims[row.place - 1].id for row in rows}


async def judge_claims(connection: Connection, claims: Sequence[NewClaim]) -> list[Outcome | None]:
    """Returns the outcome of each claim if it were made now; None of one that would get a code."""
    rows = await fetch_all(connection, _Judged, JUDGE, **_arrays(claims))
    outcomes: list[Outcome | None] = [None] * len(claims)
    for row in rows:
        outcomes[row.place - 1] = _judge(row, claims[row.place - 1])
    return outcomes


def _judge(row: _Judged, claim: NewClaim) -> Outcome | None:
    if row.state is None:
        return refusals.discount_not_found(claim.discount_id)
    if row.claim_id is not None:
        return row.claim_id if row.same_key else refusals.already_claimed(row.claim_id)
    if row.key_used:
        return reused(claim.idempotency_key)
    return _refusal(row, claim.discount_id)


def _refusal(row: _Judged, discount_id: UUID) -> DomainError | None:
    if row.state == "DRAFT" or not row.published:
        return refusals.discount_not_found(discount_id)
    if row.status in (SUSPENDED, CLOSED):
        return refusals.account_not_active(row.status)
    if row.state != "ACTIVE" or not row.in_window:
        return refusals.discount_not_open(discount_id)
    if not row.ready:
        refusal = refusals.discount_not_ready if row.lacking else refusals.discount_sold_out
        return refusal(discount_id)
    return None if row.agreed else refusals.consent_required()


def _arrays(claims: Sequence[NewClaim]) -> dict[str, Any]:
    return {
        "claim_ids": [claim.id for claim in claims],
        "discount_ids": [claim.discount_id for claim in claims],
        "brand_ids": [claim.brand_id for claim in claims],
        "member_ids": [claim.member_id for claim in claims],
        "keys": [claim.idempotency_key for claim in claims],
        "agreed": [claim.agreed for claim in claims],
    }
