"""Codes are random, unique, and exactly as many as were asked for, whatever happens to their makers."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from uuid import RFC_4122, UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrip.common.v1 import money_pb2
from scrip.promos.v1 import code_pb2

from services.common.channels import Peers
from services.common.codes import ALPHABET, read_code
from services.common.db import Connection
from services.common.encoding import timestamp
from services.common.errors import DomainError
from services.common.ids import new_id
from services.common.jobs import Task
from services.promos import jobs
from services.promos.benefits import Benefit, PercentOff
from services.promos.codes import CodeSetChanges, change_code_set, lock_code_set, make_code_set, random_codes
from services.promos.codes.commands import make_codes as making
from services.promos.codes.commands.code_sets import MAKE_JOB
from services.promos.codes.commands.make_codes import NoNewCodesError, make_codes
from services.promos.codes.copy_rows import rows_of
from services.promos.codes.patterns import DEFAULT, Pattern, read_pattern
from services.promos.tests.support import FIVE_DOLLARS, THIRTY_PERCENT, Promos, in_days
from tests.inprocess import InProcess, Platform, eventually, reason, refusal


@pytest.fixture
def make(promos: Promos, platform: Platform) -> Task:
    """The job that makes codes, to be run by hand."""
    return jobs.tasks(promos.db, Peers("promos", platform.settings["promos"]))[MAKE_JOB]


async def lacking_set(promos: Promos, wanted: int) -> str:
    """Returns a set whose codes no worker was asked to make."""
    code_set_id = new_id()
    await promos.execute(
        "INSERT INTO code_sets (id, purpose, percent_off, wanted) VALUES (%(id)s, 'VOUCHER', 10, %(wanted)s)",
        id=code_set_id,
        wanted=wanted,
    )
    return str(code_set_id)


async def count(promos: Promos, code_set_id: str) -> int:
    return int(await promos.value("SELECT count(*) FROM codes WHERE code_set_id = %(id)s", id=code_set_id))


@pytest.mark.covers("C1 PromosInternalService.EnsureCodes")
def test_codes_are_twelve_unambiguous_characters_and_differ() -> None:
    made = random_codes.new_codes(10_001)
    assert len(set(made)) == len(made) == 10_001
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{12}", code) for code in made)
    assert set("".join(made)) == set(ALPHABET)


@given(st.integers(0, 2**60 - 1), st.sampled_from([" ", "-", " - ", "\u2013", "\t", ""]))
def test_a_code_is_read_however_it_is_written(number: int, separator: str) -> None:
    code = "".join(ALPHABET[number >> shift & 31] for shift in range(0, 60, 5))
    spoken = code.replace("0", "o").replace("1", "l").lower()
    assert read_code(separator.join((spoken[:4], spoken[4:8], spoken[8:]))) == code
    assert read_code(code.replace("1", "I").replace("0", "O")) == code


@pytest.mark.covers("V6 PromosInternalService.EnsureCodes")
async def test_codes_are_made_in_the_background_and_progress_shows(promos: Promos) -> None:
    code_set_id = new_id()
    assert await promos.ensure(code_set_id, 12_345) == 0
    seen = []

    async def all_made() -> None:
        seen.append(await promos.ensure(code_set_id, 12_345))
        assert seen[-1] == 12_345

    await eventually(all_made, seconds=20)
    assert seen == sorted(seen)
    assert await promos.ready(code_set_id) == 12_345


async def test_asking_again_makes_only_what_is_missing(promos: Promos) -> None:
    code_set_id = await promos.code_set(20)
    for quantity in (20, 5, 50, 20):
        await promos.ensure(code_set_id, quantity)
    await promos.until_made(code_set_id, 50)


async def test_fifty_equal_calls_at_once_make_one_set(promos: Promos, make: Task) -> None:
    code_set_id = new_id()
    await asyncio.gather(*(promos.ensure(code_set_id, 100) for _ in range(50)))
    await promos.until_made(code_set_id, 100)
    await asyncio.gather(*(make(code_set_id=str(code_set_id)) for _ in range(5)))
    assert await promos.ready(code_set_id) == 100


@pytest.mark.parametrize(
    "changed",
    [
        {"benefit": THIRTY_PERCENT},
        {"benefit": code_pb2.Benefit(amount_off=money_pb2.Money(currency_code="USD", amount_minor=501))},
        {"benefit": code_pb2.Benefit(amount_off=FIVE_DOLLARS.amount_off, exclusive=True)},
        {"expires_at": timestamp(in_days(9))},
        {"expires_at": None},
    ],
)
async def test_a_set_keeps_its_benefit_and_expiry(promos: Promos, changed: dict[str, object]) -> None:
    code_set_id = new_id()
    kept = {"benefit": FIVE_DOLLARS, "expires_at": timestamp(in_days(10))}
    await promos.ensure(code_set_id, 1, **kept)
    name, _, metadata = await refusal(promos.ensure(code_set_id, 2, **{**kept, **changed}))
    assert (name, metadata) == ("CODE_SET_CONFLICT", {"code_set_id": str(code_set_id)})
    assert await promos.value("SELECT wanted FROM code_sets WHERE id = %(id)s", id=code_set_id) == 1
    await promos.ensure(code_set_id, 2, **kept)
    await promos.until_made(code_set_id, 2)


async def test_a_benefit_of_nothing_is_refused(promos: Promos) -> None:
    nothing = code_pb2.Benefit(amount_off=money_pb2.Money(currency_code="USD", amount_minor=0))
    assert await reason(promos.ensure(new_id(), 1, benefit=nothing)) == "VALIDATION_FAILED"
    assert await reason(promos.ensure(new_id(), 1, benefit=code_pb2.Benefit())) == "VALIDATION_FAILED"


@pytest.mark.covers("V6 PromosInternalService.EnsureCodes")
async def test_a_maker_that_is_killed_again_and_again_leaves_exactly_what_was_asked_for(
    promos: Promos, make: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "BATCH", 20)
    draws = itertools.count(1)
    real = random_codes.new_codes

    def killing(wanted: int, pattern: Pattern) -> list[str]:
        task = asyncio.current_task()
        if next(draws) % 4 == 0 and task is not None:
            task.cancel()  # takes effect in the middle of this batch
        return real(wanted, pattern)

    monkeypatch.setattr(random_codes, "new_codes", killing)
    code_set_id = await lacking_set(promos, 401)
    kills = 0
    while True:
        task = asyncio.ensure_future(make(code_set_id=code_set_id))
        await asyncio.wait([task])
        await promos.assert_consistent()
        if not task.cancelled():
            break
        kills += 1
        assert await count(promos, code_set_id) == 60 * kills, "three batches were kept, the fourth was not"
    assert kills == 6
    assert await count(promos, code_set_id) == 401


async def test_a_maker_that_stopped_between_two_batches_is_gone_on_from(
    promos: Promos, make: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "BATCH", 20)
    code_set_id = await lacking_set(promos, 105)
    for _ in range(2):
        assert await promos.db.run(make_codes, UUID(code_set_id))
    assert await count(promos, code_set_id) == 40
    await make(code_set_id=code_set_id)
    assert await count(promos, code_set_id) == 105


@pytest.mark.covers("V6 PromosInternalService.EnsureCodes")
async def test_a_set_that_lacks_codes_has_one_job_however_often_they_are_asked_for(
    promos: Promos, make: Task, in_process: InProcess
) -> None:
    code_set_id = new_id()
    jobs_of_it = "SELECT count(*) FROM procrastinate_jobs WHERE lock = %(lock)s"
    lock = f"{MAKE_JOB}:{code_set_id}"
    await in_process.stop_worker("promos")
    try:
        for quantity in (5, 5, 9, 9):
            assert await promos.ensure(code_set_id, quantity) == 0
        assert await promos.value(jobs_of_it, lock=lock) == 1
        await make(code_set_id=str(code_set_id))
        assert await promos.ensure(code_set_id, 9) == 9
        assert await promos.value(jobs_of_it, lock=lock) == 1
        assert await promos.ensure(code_set_id, 12) == 9
        assert await promos.value(jobs_of_it, lock=lock) == 2
    finally:
        in_process.start_worker("promos")
    await promos.until_made(code_set_id, 12)


async def test_makers_at_the_same_set_at_once_make_exactly_what_was_asked_for(
    promos: Promos, make: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "BATCH", 30)
    code_set_id = await lacking_set(promos, 777)
    await asyncio.gather(*(make(code_set_id=code_set_id) for _ in range(8)))
    assert await count(promos, code_set_id) == 777


@pytest.mark.covers("C1 PromosInternalService.EnsureCodes")
async def test_a_code_that_exists_already_is_thrown_away_and_made_up_for(
    promos: Promos, make: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    existing = await promos.assigned_code()
    draws = itertools.count()
    real = random_codes.new_codes

    def mostly_known(wanted: int, pattern: Pattern) -> list[str]:
        fresh = real(wanted, pattern)
        if next(draws) < 5:
            fresh[: wanted // 2] = [existing.code] * (wanted // 2)
            fresh[-1] = fresh[-2]
        return fresh

    monkeypatch.setattr(random_codes, "new_codes", mostly_known)
    code_set_id = await lacking_set(promos, 500)
    await make(code_set_id=code_set_id)
    assert await count(promos, code_set_id) == 500
    assert next(draws) > 5
    assert (await promos.get([existing.id]))[existing.id] == existing


async def test_a_random_source_that_repeats_itself_stops_the_job_instead_of_spinning(
    promos: Promos, make: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_codes, "random_bytes", lambda count: b"\x2a" * count)
    code_set_id = await lacking_set(promos, 5)
    with pytest.raises(NoNewCodesError):
        await make(code_set_id=code_set_id)
    monkeypatch.undo()
    await make(code_set_id=code_set_id)
    assert await count(promos, code_set_id) == 5


async def test_a_set_that_nobody_knows_needs_no_codes(promos: Promos) -> None:
    assert await promos.db.run(make_codes, new_id()) is False


# Several sets and processes at once


async def patterned_set(promos: Promos, wanted: int, pattern: str) -> str:
    """Returns a set with a pattern whose codes no worker was asked to make, whatever room there is."""
    code_set_id = await lacking_set(promos, wanted)
    await promos.execute(
        "UPDATE code_sets SET pattern = %(pattern)s, purpose = 'HANDED_OUT' WHERE id = %(id)s",
        pattern=pattern,
        id=UUID(code_set_id),
    )
    return code_set_id


@pytest.mark.covers("C1 CodeSetService.CreateCodeSet")
async def test_sets_of_one_small_pattern_that_are_made_at_once_share_no_code(
    promos: Promos, make: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of all possible codes, in small batches, so that makers often draw the same at the same time."""
    monkeypatch.setattr(making, "BATCH", 25)
    sets = [await patterned_set(promos, 100, "SHARED###") for _ in range(5)]
    await asyncio.gather(*(make(code_set_id=code_set_id) for code_set_id in sets * 2))
    for code_set_id in sets:
        assert await count(promos, code_set_id) == 100
    different = "SELECT count(DISTINCT code) FROM codes WHERE code LIKE 'SHARED%%'"
    assert await promos.value(different) == 500


async def test_a_code_that_another_set_makes_at_the_same_moment_is_made_up_for(
    promos: Promos, make: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one commits after this one looked which exist, so that the index alone tells."""
    other = await lacking_set(promos, 1)
    real = rows_of
    taken: list[str] = []

    def raced(codes: list[str], code_set_id: UUID, **fields: object) -> bytes:
        if not taken:
            taken.append(codes[0])
            url = promos.platform.postgres.url("promos")
            with psycopg.connect(url) as connection:
                connection.execute(
                    "INSERT INTO codes (id, code_set_id, code, shuffle, state, uses_allowed)"
                    " VALUES (%s, %s, %s, 0, 'READY', 1)",
                    (new_id(), UUID(other), codes[0]),
                )
                connection.execute("UPDATE code_sets SET made = 1 WHERE id = %s", (UUID(other),))
        return real(codes, code_set_id, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(making, "rows_of", raced)
    code_set_id = await lacking_set(promos, 50)
    await make(code_set_id=code_set_id)
    assert await count(promos, code_set_id) == 50
    owner = await promos.value("SELECT code_set_id FROM codes WHERE code = %(code)s", code=taken[0])
    assert str(owner) == other, "the old one stays, the new one is thrown away"


async def test_a_quantity_that_is_lowered_while_codes_are_made_is_kept_to(
    promos: Promos, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_set_id = UUID(await lacking_set(promos, 60))
    real = rows_of

    def lowered(codes: list[str], code_set_id: UUID, **fields: object) -> bytes:
        monkeypatch.undo()
        with psycopg.connect(promos.platform.postgres.url("promos")) as connection:
            connection.execute("UPDATE code_sets SET wanted = 7 WHERE id = %s", (code_set_id,))
        return real(codes, code_set_id, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(making, "rows_of", lowered)
    assert await promos.db.run(make_codes, code_set_id), "the batch was taken back, and another is to be made"
    assert await count(promos, str(code_set_id)) == 0
    assert not await promos.db.run(make_codes, code_set_id)
    assert await count(promos, str(code_set_id)) == 7


async def test_making_holds_up_nobody_who_needs_the_set(
    promos: Promos, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_set_id = UUID(await lacking_set(promos, 60))
    real = rows_of
    seen: list[int] = []

    def meanwhile(codes: list[str], code_set_id: UUID, **fields: object) -> bytes:
        with psycopg.connect(promos.platform.postgres.url("promos")) as connection:
            connection.execute("SET lock_timeout = '2s'")
            query = "UPDATE code_sets SET voided = voided WHERE id = %s RETURNING made"
            seen.extend(made for (made,) in connection.execute(query, (code_set_id,)))
        return real(codes, code_set_id, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(making, "rows_of", meanwhile)
    await promos.db.run(make_codes, code_set_id)
    assert seen == [0], "in the middle of a batch, the row is free"


@pytest.mark.parametrize("pattern", [None, "A-######@@@@@", "#"])
async def test_ids_of_a_batch_are_uuids_of_the_seventh_version_and_tell_no_order(
    promos: Promos, pattern: str | None
) -> None:
    codes = random_codes.new_codes(300, read_pattern(pattern) if pattern else DEFAULT)
    owner, rows = new_id(), []
    for line in rows_of(codes, owner, state="READY", uses_allowed=1_000_000).decode().splitlines():
        code_id, code_set_id, shuffle, state, uses, code = line.split("\t")
        assert (UUID(code_set_id), state, uses) == (owner, "READY", "1000000")
        assert UUID(code_id).version == 7
        assert UUID(code_id).variant == RFC_4122
        assert abs((UUID(code_id).int >> 80) / 1000 - time.time()) < 60
        rows.append((code_id, int(shuffle, 16), code))
    assert [code for _, _, code in rows] == codes
    assert len({code_id for code_id, _, _ in rows}) == len({shuffle for _, shuffle, _ in rows}) == 300
    assert [code_id for code_id, _, _ in rows] != sorted(code_id for code_id, _, _ in rows)
    assert 0 <= min(shuffle for _, shuffle, _ in rows) < 2**28 < 2**30 < max(s for _, s, _ in rows) < 2**31


@pytest.mark.covers("C1 CodeSetService.CreateCodeSet")
async def test_a_brands_discount_has_its_codes_made_into_the_stock_and_may_want_more(promos: Promos) -> None:
    """As the feature that owns the discount does it, in a transaction of its own."""
    code_set_id = new_id()
    await promos.db.run(
        make_code_set,
        code_set_id,
        purpose="DISCOUNT",
        benefit=Benefit(PercentOff(10)),
        expires_at=in_days(9),
        brand_id=new_id(),
        pattern="DISC-######@@@",
        quantity=12,
        valid_days=3,
    )
    await promos.until_made(code_set_id, 12)

    async def want(connection: Connection, quantity: int) -> None:
        before = await lock_code_set(connection, code_set_id)
        await change_code_set(connection, before, CodeSetChanges(quantity=quantity))

    await promos.db.run(want, 20)
    await promos.until_made(code_set_id, 20)
    with pytest.raises(DomainError, match="CODE_SET_QUANTITY_TOO_SMALL"):
        await promos.db.run(want, 19)
