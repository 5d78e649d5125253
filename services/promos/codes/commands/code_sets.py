"""Sets of codes: making them, changing them, and asking for codes in them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from psycopg.sql import SQL

from services.common import jobs
from services.common.db import Connection, execute, fetch_all, fetch_first
from services.promos.benefits import BENEFIT_NAMES, BENEFIT_VALUES, Benefit, benefit_of, values
from services.promos.codes import refusals
from services.promos.codes.patterns import Pattern, pattern_of, read_pattern
from services.promos.codes.set_queries import CodeSetRow, Purpose

T = TypeVar("T")

MAKE_JOB = "make_codes"

_POSSIBLE_PER_CODE = 1_000
"""With fewer possible codes for each one that exists, guessing would pay."""
_LEAST_POSSIBLE_PER_CODE = 2
"""With fewer, most new codes would exist already, and making them would not end."""


@dataclass(frozen=True, slots=True)
class _Progress:
    usable: int
    lacking: bool
    was_lacking: bool


_MAKE_SET = SQL(
    """
    INSERT INTO code_sets (
      id, purpose, name, brand_id, pattern, wanted, starts_at, expires_at, valid_days, uses_allowed,
      uses_per_member, enabled, {names}
    )
    VALUES (
      %(id)s, %(purpose)s, %(name)s, %(brand_id)s, %(pattern)s, %(quantity)s, %(starts_at)s, %(expires_at)s,
      %(valid_days)s, %(uses_allowed)s, %(uses_per_member)s, %(enabled)s, {values}
    )
    """
).format(names=BENEFIT_NAMES, values=BENEFIT_VALUES)


async def make_code_set(
    connection: Connection,
    code_set_id: UUID,
    *,
    purpose: Purpose,
    benefit: Benefit,
    expires_at: datetime | None,
    starts_at: datetime | None = None,
    name: str = "",
    brand_id: UUID | None = None,
    pattern: str | None = None,
    quantity: int = 0,
    valid_days: int | None = None,
    uses_allowed: int = 1,
    uses_per_member: int | None = None,
    enabled: bool = True,
    allow_guessable: bool = False,
) -> None:
    """Makes a set, and has `quantity` codes made in it. With 0, codes are made as they are given away.

    `pattern` is as staff write it; None is the default. Raises VALIDATION_FAILED for a pattern that can not
    be read and (by constraint) for a window that ends before it starts; and CODE_PATTERN_TOO_SMALL, with
    `allow_guessable` only when there are not even two possible codes for each one.
    """
    kept = None if pattern is None else read_pattern(pattern)
    if kept is not None:
        await _require_room(connection, code_set_id, kept, quantity, allow_guessable=allow_guessable)
    await execute(
        connection,
        _MAKE_SET,
        id=code_set_id,
        purpose=purpose,
        name=name,
        brand_id=brand_id,
        pattern=kept and kept.text,
        quantity=quantity,
        starts_at=starts_at,
        expires_at=expires_at,
        valid_days=valid_days,
        uses_allowed=uses_allowed,
        uses_per_member=uses_per_member,
        enabled=enabled,
        **values(benefit),
    )
    if quantity:
        await make_later(connection, code_set_id)


_ENSURE_SET = SQL(
    """
    INSERT INTO code_sets AS s (id, purpose, expires_at, valid_days, wanted, {names})
    VALUES (%(id)s, 'VOUCHER', %(expires_at)s, %(valid_days)s, %(quantity)s, {values})
    ON CONFLICT (id) DO UPDATE SET wanted = greatest(s.wanted, excluded.wanted)
    WHERE (s.purpose, s.expires_at, s.valid_days, {kept})
      IS NOT DISTINCT FROM ('VOUCHER', excluded.expires_at, excluded.valid_days, {given})
    RETURNING greatest(made - voided, 0) AS usable, made < wanted + voided AS lacking,
      coalesce(old.made < old.wanted + old.voided, false) AS was_lacking
    """
).format(names=BENEFIT_NAMES, values=BENEFIT_VALUES, kept=benefit_of("s"), given=benefit_of("excluded"))


async def ensure_codes(
    connection: Connection,
    *,
    code_set_id: UUID,
    quantity: int,
    benefit: Benefit,
    expires_at: datetime | None,
    valid_days: int | None = None,
) -> int:
    """Ensures that a voucher's set exists and will have `quantity` codes; returns how many it has by now.

    `valid_days` is how long a code is good once it was assigned, None as long as the set is. Withdrawn codes
    do not count. Raises CODE_SET_CONFLICT when the set has another benefit or expiry.
    """
    progress = await fetch_first(
        connection,
        _Progress,
        _ENSURE_SET,
        id=code_set_id,
        quantity=quantity,
        expires_at=expires_at,
        valid_days=valid_days,
        **values(benefit),
    )
    if progress is None:
        raise refusals.code_set_conflict(code_set_id)
    # A set that was lacking codes already has a job, which goes on until it lacks none.
    if progress.lacking and not progress.was_lacking:
        await make_later(connection, code_set_id)
    return progress.usable


@dataclass(frozen=True)
class CodeSetChanges:
    """What shall be otherwise: None stays as it is, what is named in `clear` is emptied."""

    name: str | None = None
    benefit: Benefit | None = None
    quantity: int | None = None
    starts_at: datetime | None = None
    expires_at: datetime | None = None
    valid_days: int | None = None
    uses_allowed: int | None = None
    uses_per_member: int | None = None
    enabled: bool | None = None
    clear: Collection[str] = ()

    def applied_to(self, row: CodeSetRow) -> CodeSetRow:
        """Returns the set as it shall be."""
        benefit = values(row.benefit if self.benefit is None else self.benefit)
        return replace(
            row,
            name=row.name if self.name is None else self.name,
            wanted=row.wanted if self.quantity is None else self.quantity,
            starts_at=self._cleared("starts_at", self.starts_at or row.starts_at),
            expires_at=self._cleared("expires_at", self.expires_at or row.expires_at),
            valid_days=self._cleared("valid_days", self.valid_days or row.valid_days),
            uses_allowed=self.uses_allowed or row.uses_allowed,
            uses_per_member=self._cleared("uses_per_member", self.uses_per_member or row.uses_per_member),
            enabled=row.enabled if self.enabled is None else self.enabled,
            **benefit,
        )

    def _cleared(self, name: str, value: T) -> T | None:
        return None if name in self.clear else value


_CHANGE_SET = SQL(
    """
    UPDATE code_sets SET
      name = %(name)s, wanted = %(wanted)s, starts_at = %(starts_at)s, expires_at = %(expires_at)s,
      valid_days = %(valid_days)s, uses_allowed = %(uses_allowed)s, uses_per_member = %(uses_per_member)s,
      enabled = %(enabled)s,
      ({names}) = ROW ({values}), version = version + 1
    WHERE id = %(id)s
    """
).format(names=BENEFIT_NAMES, values=BENEFIT_VALUES)


async def change_code_set(
    connection: Connection, before: CodeSetRow, changes: CodeSetChanges, *, allow_guessable: bool = False
) -> CodeSetRow:
    """Changes a set whose row the caller has locked, and has codes made that it lacks; returns it.

    Raises CODE_SET_HAS_CODES for another benefit or number of uses once there are codes,
    CODE_SET_QUANTITY_TOO_SMALL, CODE_PATTERN_TOO_SMALL as `make_code_set` does, and VALIDATION_FAILED (by
    constraint) for a window that ends before it starts.
    """
    after = changes.applied_to(before)
    if after == before:
        return before
    promised = (after.benefit, after.uses_allowed) != (before.benefit, before.uses_allowed)
    if promised and before.made:
        raise refusals.code_set_has_codes(before.id)
    if after.wanted < before.usable:
        raise refusals.code_set_quantity_too_small(before.id, before.usable)
    if after.wanted > before.wanted and before.pattern is not None:
        total = after.wanted + before.voided
        pattern = pattern_of(before.pattern)
        await _require_room(connection, before.id, pattern, total, allow_guessable=allow_guessable)
    await execute(
        connection,
        _CHANGE_SET,
        id=before.id,
        name=after.name,
        wanted=after.wanted,
        starts_at=after.starts_at,
        expires_at=after.expires_at,
        valid_days=after.valid_days,
        uses_allowed=after.uses_allowed,
        uses_per_member=after.uses_per_member,
        enabled=after.enabled,
        **values(after.benefit),
    )
    if after.wanted > before.wanted:
        await make_later(connection, before.id)
    return replace(after, version=before.version + 1)


async def stop_making(connection: Connection, code_set_id: UUID) -> None:
    """Closes a set: it keeps the codes that it has, and no more are made, nor for those that are withdrawn.

    A batch that is being made at this moment waits for the commit, and is taken back.
    """
    await execute(
        connection,
        """
        UPDATE code_sets SET wanted = made - voided, closed = true, version = version + 1
        WHERE id = %(id)s AND NOT closed
        """,
        id=code_set_id,
    )


async def make_later(connection: Connection, code_set_id: UUID) -> None:
    """Has the codes that a set lacks made in the background; one job of a set runs at a time."""
    await jobs.defer(connection, MAKE_JOB, lock=f"{MAKE_JOB}:{code_set_id}", code_set_id=str(code_set_id))


@dataclass(frozen=True, slots=True)
class _Taken:
    pattern: str | None
    codes: int


async def _require_room(
    connection: Connection, code_set_id: UUID, pattern: Pattern, quantity: int, *, allow_guessable: bool
) -> None:
    """Raises CODE_PATTERN_TOO_SMALL unless there is room for so many codes of the set among those possible.

    The codes of other sets whose patterns overlap take room too, as many as are to be expected. Until the
    commit others who ask for room wait, so that they see this set; makers of codes do not.
    """
    await execute(connection, "LOCK TABLE code_sets IN SHARE UPDATE EXCLUSIVE MODE")
    others = await fetch_all(
        connection,
        _Taken,
        """
        SELECT pattern, sum(wanted + voided)::bigint AS codes FROM code_sets
        WHERE id <> %(id)s
        GROUP BY pattern
        """,
        id=code_set_id,
    )
    taken = sum(other.codes * pattern.share_of(pattern_of(other.pattern)) for other in others)
    per_code = _LEAST_POSSIBLE_PER_CODE if allow_guessable else _POSSIBLE_PER_CODE
    largest = int(pattern.possible_codes / per_code - taken)
    if quantity > largest:
        raise refusals.code_pattern_too_small(pattern.text, pattern.possible_codes, max(largest, 0))
