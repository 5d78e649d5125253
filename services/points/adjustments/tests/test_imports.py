"""Staff adjust many members' points from one file, in the background."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.api import httpbody_pb2
from scrip.points.v1 import admin_pb2, points_pb2

from services.common.cache import Redis
from services.common.csv_files import MOST_BYTES, MOST_LINES
from services.common.csv_lists import csv_lines
from services.common.db import Connection
from services.common.errors import DomainError
from services.common.ids import new_id
from services.points.adjustments import files as adjustment_files
from services.points.adjustments.files import LineResult
from services.points.adjustments.importer import Importer
from services.points.adjustments.tests.test_adjustments import audited, heard_member
from services.points.balances import BALANCE_KEYS, Balances
from services.points.balances.leased_cache import LeasedCache
from services.points.programme import Programme
from services.points.tests.manager import HEADER, Manager, csv_file, execute, violations, worker
from services.points.tests.own_service import OwnService, own_service
from services.points.tests.support import Points
from tests.inprocess import InProcess, Platform, bearer, eventually, reason

RUNNING, FINISHED = admin_pb2.IMPORT_STATE_RUNNING, admin_pb2.IMPORT_STATE_FINISHED


@pytest.fixture
async def manager(points: Points, platform: Platform) -> Manager:
    """A manager."""
    return Manager(points, await platform.token("manager"))


@pytest.mark.covers(
    "P6 PointsAdminService.CreateAdjustmentImport",
    "P6 PointsAdminService.GetAdjustmentImport",
)
async def test_each_line_is_done_or_refused_on_its_own(
    points: Points, manager: Manager, platform: Platform
) -> None:
    first, second = await heard_member(points, platform, 10), await heard_member(points, platform)
    gone, rich = await heard_member(points, platform), await heard_member(points, platform)
    await points.send_event(gone.id, 3, "CLOSED")
    await points.send_event(second.id, 3, "SUSPENDED")
    for _ in range(2):
        await manager.adjust(rich.id, 1_000_000_000)
    stranger = uuid4()
    lines: Sequence[tuple[tuple[object, ...], str, str]] = [
        ((first.id, 25, "Sorry"), "done", "35"),
        ((str(second.id).upper(), " +7 ", "  Spaces around "), "done", "7"),
        ((first.id, -35, "All of it"), "done", "0"),
        ((first.id, -1, "Too much"), "INSUFFICIENT_POINTS", ""),
        ((stranger, 5, "Who?"), "MEMBER_NOT_FOUND", ""),
        ((gone.id, 5, "Gone"), "MEMBER_CLOSED", ""),
        ((rich.id, 1_000_000_000, "Too rich"), "BALANCE_LIMIT_REACHED", ""),
        (("me", 5, "No id"), "VALIDATION_FAILED", ""),
        ((first.id, 0, "Nothing"), "VALIDATION_FAILED", ""),
        ((first.id, "1.5", "A fraction"), "VALIDATION_FAILED", ""),
        ((first.id, "\N{ARABIC-INDIC DIGIT ONE}", "Other digits"), "VALIDATION_FAILED", ""),
        ((first.id, 1_000_000_001, "Too many"), "VALIDATION_FAILED", ""),
        ((first.id, 5, " "), "VALIDATION_FAILED", ""),
        ((first.id, 5, "x" * 201), "VALIDATION_FAILED", ""),
        ((first.id, 5), "VALIDATION_FAILED", ""),
        ((first.id, 5, "One", "two"), "VALIDATION_FAILED", ""),
        ((first.id, 5, "x" * 200), "done", "5"),
    ]
    begun = await manager.upload(csv_file(*(line for line, _, _ in lines)))
    assert (begun.state, begun.lines, begun.done, begun.refused) == (RUNNING, 17, 0, 9)
    assert not begun.HasField("finished_at")
    done = await manager.finished(begun.id)
    assert (done.lines, done.done, done.refused) == (17, 4, 13)
    assert done.finished_at.ToDatetime() >= done.created_at.ToDatetime()
    result = await manager.result(begun.id)
    assert [(line["outcome"], line["balance_after"]) for line in result] == [
        (outcome, balance) for _, outcome, balance in lines
    ]
    assert [int(line["line"]) for line in result] == list(range(2, 19))
    assert result[1]["reason"] == "Spaces around"
    assert result[15]["reason"] == "One,two"
    await points.assert_balanced()


async def test_a_member_sees_the_reason_of_a_line(
    points: Points, manager: Manager, platform: Platform
) -> None:
    member = await heard_member(points, platform)
    begun = await manager.upload(csv_file((member.id, 25, 'Sorry, "again"\nand again')))
    await manager.finished(begun.id)
    assert await points.balance(member) == 25
    [entry] = (await points.entries(member)).entries
    assert (entry.kind, entry.delta) == (points_pb2.ENTRY_KIND_ADJUST, 25)
    assert entry.reason == 'Sorry, "again"\nand again'
    cause = entry.adjustment_import_line
    assert (cause.adjustment_import_id, cause.line) == (begun.id, 2)
    [line] = await manager.result(begun.id)
    assert line["reason"] == 'Sorry, "again"\nand again'


@pytest.mark.covers("P6 PointsAdminService.CreateAdjustmentImport")
@pytest.mark.parametrize(
    "form",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\r\n", "\n"),
        lambda text: text.replace("\r\n", "\n\n"),
        lambda text: text.rstrip(),
        lambda text: text.replace(HEADER, ' Member_ID,DELTA,"reason"'),
    ],
    ids=["byte order mark", "unix", "blank lines", "no last line end", "header in other letters"],
)
async def test_csv_of_any_making_is_taken(
    points: Points, manager: Manager, platform: Platform, form: Callable[[str], str]
) -> None:
    member = await heard_member(points, platform)
    begun = await manager.upload(form(csv_file((member.id, 25, "Größe"), (member.id, -5, "x"))))
    done = await manager.finished(begun.id)
    assert (done.lines, done.done) == (2, 2)
    assert await points.balance(member) == 20


async def test_columns_may_come_in_any_order(points: Points, manager: Manager, platform: Platform) -> None:
    member = await heard_member(points, platform)
    begun = await manager.upload(f"reason,member_id,delta\nx,{member.id},25\n")
    await manager.finished(begun.id)
    assert await points.balance(member) == 25


ROW = f"{UUID(int=1)},1,x\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: the header"),
        (b"\n\n", "line 1: the header"),
        (ROW.encode(), "line 1: the header"),
        (b"member_id,delta\n" + ROW.encode(), "line 1: the header"),
        (b"member_id,delta,reason,balance\n", "line 1: the header"),
        (b"member_id,delta,reason,reason\n", "line 1: the header"),
        (HEADER.encode(), "no lines"),
        (f"{HEADER}\n\n , ,\n".encode(), "no lines"),
        (f"{HEADER}\n{ROW}".encode() + b"\xff,1,x\n", "line 3: is not UTF-8"),
        (f"{HEADER}\n{ROW}".encode("utf-16"), "line 1: is not UTF-8"),
        (f"{HEADER}\n{ROW}x\0,1,x\n".encode(), "line 3: holds a NUL"),
        (f'{HEADER}\n{ROW}x,1,"never ends\n'.encode(), "line 3: is not CSV"),
        (f'{HEADER}\n{ROW}x,1,"a"b\n'.encode(), "line 3: is not CSV"),
        (f"{HEADER}\n{ROW}x,1,{'x' * 200_000}\n".encode(), "line 3: is not CSV"),
        (f"{HEADER}\n{'x,1,x' + chr(10)}".encode() + b"a,1,b\n" * MOST_LINES, "line 20002: there may be"),
        (f"{HEADER}\n".encode() + b"x" * MOST_BYTES, "1048576 bytes"),
    ],
)
async def test_what_is_no_such_file_is_refused_whole(manager: Manager, content: bytes, said: str) -> None:
    [fault] = await violations(manager.upload(content))
    assert fault.field == "file.data"
    assert said in fault.description


def test_the_longest_file_is_taken() -> None:
    lines = adjustment_files.parse(f"{HEADER}\n".encode() + ROW.encode() * MOST_LINES)
    assert len(lines) == MOST_LINES
    assert all(line.valid for line in lines)


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", "text/csvx"])
async def test_only_csv_is_taken(manager: Manager, content_type: str) -> None:
    [fault] = await violations(manager.upload(f"{HEADER}\n{ROW}", content_type=content_type))
    assert fault.field == "file.content_type"


async def test_a_content_type_may_name_the_character_set(manager: Manager) -> None:
    await manager.upload(f"{HEADER}\n{ROW}", content_type="Text/CSV; charset=utf-8")


async def test_a_file_of_faults_is_finished_at_once(manager: Manager) -> None:
    begun = await manager.upload(f"{HEADER}\nme,1,x\n")
    assert (begun.state, begun.lines, begun.refused) == (FINISHED, 1, 1)
    assert await manager.get_import(begun.id) == begun


@pytest.mark.covers("P6 PointsAdminService.CreateAdjustmentImport")
async def test_a_file_handed_in_again_counts_once(
    points: Points, manager: Manager, platform: Platform
) -> None:
    member, key = await heard_member(points, platform), str(new_id())
    content = csv_file((member.id, 25, "Sorry"))
    replies = await asyncio.gather(*(manager.upload(content, key=key) for _ in range(8)))
    assert all(reply == replies[0] for reply in replies)
    await manager.finished(replies[0].id)
    assert await manager.upload(content, key=key) == replies[0], "the first answer"
    assert await points.balance(member) == 25
    other = csv_file((member.id, 26, "Sorry"))
    assert await reason(manager.upload(other, key=key)) == "IDEMPOTENCY_KEY_REUSED"
    await manager.finished((await manager.upload(content)).id)
    assert await points.balance(member) == 50, "another key, another intention"


async def test_a_key_is_needed(manager: Manager) -> None:
    file = httpbody_pb2.HttpBody(content_type="text/csv", data=f"{HEADER}\n{ROW}".encode())
    request = admin_pb2.CreateAdjustmentImportRequest(file=file)
    call = manager.stub.CreateAdjustmentImport(request, metadata=bearer(manager.token))
    assert await reason(call) == "IDEMPOTENCY_KEY_REQUIRED"


async def test_an_import_is_in_the_audit_list(manager: Manager, platform: Platform) -> None:
    begun = await manager.upload(f"{HEADER}\n{ROW}")

    async def forwarded() -> None:
        assert await audited(platform, "points.import_created", begun.id) == [{"lines": 1}]

    await eventually(forwarded, seconds=10)


@pytest.mark.covers("P6 PointsAdminService.ListAdjustmentImports")
async def test_imports_are_listed_newest_first_and_by_state(
    points: Points, manager: Manager, in_process: InProcess
) -> None:
    await in_process.stop_worker("points")
    try:
        waiting = [await manager.upload(f"{HEADER}\n{ROW}") for _ in range(2)]
        refused = await manager.upload(f"{HEADER}\nme,1,x\n")

        async def listed(state: admin_pb2.ImportState.ValueType, **fields: Any) -> Any:
            request = admin_pb2.ListAdjustmentImportsRequest(state=state, **fields)
            return await manager.stub.ListAdjustmentImports(request, metadata=bearer(manager.token))

        every = await listed(admin_pb2.IMPORT_STATE_UNSPECIFIED, page_size=3)
        assert [one.id for one in every.adjustment_imports] == [refused.id, waiting[1].id, waiting[0].id]
        assert not every.HasField("total")
        oldest = await listed(RUNNING, order_by="created_at", with_total=True)
        assert [one.id for one in oldest.adjustment_imports] == [one.id for one in waiting]
        assert oldest.total.count == 2
        running = await listed(RUNNING)
        assert [one.id for one in running.adjustment_imports] == [waiting[1].id, waiting[0].id]
        first = await listed(RUNNING, page_size=1)
        rest = await listed(RUNNING, page_size=1, page_token=first.next_page_token)
        assert [one.id for one in rest.adjustment_imports] == [waiting[0].id]
        assert (await listed(FINISHED)).adjustment_imports[0].id == refused.id
        wrong = listed(FINISHED, page_token=first.next_page_token)
        assert await reason(wrong) == "PAGE_TOKEN_NOT_VALID"
        [line] = await manager.result(waiting[0].id)
        assert (line["outcome"], line["balance_after"]) == ("waiting", "")
    finally:
        in_process.start_worker("points")
    for one in waiting:
        await manager.finished(one.id)


@pytest.mark.covers("P6 PointsAdminService.GetAdjustmentImport")
async def test_an_unknown_import_is_not_found(manager: Manager) -> None:
    for call in (manager.get_import(str(uuid4())), manager.pieces(str(uuid4()))):
        assert await reason(call) == "IMPORT_NOT_FOUND"
    assert await reason(manager.get_import("x")) == "VALIDATION_FAILED"
    assert await reason(manager.pieces("x")) == "VALIDATION_FAILED"


@pytest.mark.parametrize("role", ["cashier", "member", "till"])
async def test_only_managers_and_admins_import(points: Points, platform: Platform, role: str) -> None:
    somebody, any_id = Manager(points, await platform.token(role)), str(uuid4())
    metadata = bearer(somebody.token)
    for call in (
        somebody.upload(f"{HEADER}\n{ROW}"),
        somebody.get_import(any_id),
        somebody.pieces(any_id),
        somebody.stub.ListAdjustmentImports(admin_pb2.ListAdjustmentImportsRequest(), metadata=metadata),
    ):
        assert await reason(call) == "ROLE_NOT_ALLOWED"


@pytest.mark.covers("P6 PointsAdminService.GetAdjustmentImportResult")
async def test_a_long_result_comes_in_pieces(manager: Manager) -> None:
    begun = await manager.upload(f"{HEADER}\n" + "me,1,x\n" * 2_500)
    pieces = await manager.pieces(begun.id)
    assert pieces[0].content_type == "text/csv; charset=utf-8"
    assert len(pieces) == 27, "the header, the lines by the hundred, the end"
    assert len(await manager.result(begun.id)) == 2_500


@pytest.mark.covers("P6 PointsAdminService.GetAdjustmentImportResult")
@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_no_cell_of_a_result_is_a_formula(cell: str) -> None:
    line = LineResult(2, cell, cell, cell, None, None)
    [row] = csv.reader(io.StringIO(csv_lines([adjustment_files.result_row(line)]).decode(), newline=""))
    delta = str(int(cell)) if cell in {"+1", "-1"} else f"'{cell}"
    assert row == ["2", f"'{cell}", delta, f"'{cell}", "waiting", ""]


@pytest.mark.covers("P6 PointsAdminService.CreateAdjustmentImport")
async def test_several_workers_at_once_do_each_line_once(platform: Platform) -> None:
    async with own_service(platform) as own, importer_of(own) as importer:
        manager, members = await with_members(own, platform, 20)
        begun = await manager.upload(csv_file(*((member, 3, "x") for member in members * 10)))
        await asyncio.gather(*(importer.run(begun.id) for _ in range(4)))
        done = await manager.get_import(begun.id)
        assert (done.state, done.done, done.refused) == (FINISHED, 200, 0)
        assert await own.rows("SELECT DISTINCT balance, version FROM accounts") == [(30, 10)]
        await importer.run(begun.id)
        assert await own.rows("SELECT DISTINCT balance, version FROM accounts") == [(30, 10)]
        await own.assert_balanced()


@pytest.mark.covers("P6 PointsAdminService.CreateAdjustmentImport")
async def test_a_database_that_is_away_refuses_no_line(platform: Platform) -> None:
    async with own_service(platform) as own, importer_of(own) as importer:
        manager, [member] = await with_members(own, platform, 1)
        begun = await manager.upload(csv_file((member, 3, "x")))
        blocker, told = asyncio.Event(), asyncio.Event()

        async def lock(connection: Connection) -> None:
            await connection.execute("LOCK TABLE ledger_entries IN ACCESS EXCLUSIVE MODE")
            blocker.set()
            await eventually(give_up)
            await told.wait()

        async def give_up() -> None:
            """Does what a time limit does to who waits for the lock."""
            waiting = (
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            assert await own.rows(waiting) == [(True,)]

        async def run() -> str:
            await blocker.wait()
            try:
                await importer.run(begun.id)
            except DomainError as error:
                return error.reason
            finally:
                told.set()
            return ""

        results = await asyncio.gather(own.database.run(lock), run())
        assert results[1] == "DEPENDENCY_UNAVAILABLE"
        assert (await manager.get_import(begun.id)).refused == 0
        await importer.run(begun.id)
        assert (await manager.get_import(begun.id)).done == 1


@pytest.mark.covers("P6 PointsAdminService.CreateAdjustmentImport")
async def test_a_worker_killed_amid_an_import_loses_and_repeats_nothing(platform: Platform) -> None:
    async with own_service(platform) as own:
        manager, members = await with_members(own, platform, 50)
        lines: list[tuple[object, ...]] = [(member, 3, "x") for member in members * 20]
        lines[::10] = [(uuid4(), 3, "Who?")] * len(lines[::10])
        begun = await manager.upload(csv_file(*lines))

        async def some(number: int) -> None:
            assert (await manager.get_import(begun.id)).done >= number

        async with worker(own) as process:
            await eventually(lambda: some(100), seconds=30)
            process.kill()
        await assert_consistent(own, begun.id, finished=False)
        async with worker(own):  # takes it over when the first has been silent for 10 s
            done = await manager.finished(begun.id, seconds=60)
        assert (done.done, done.refused) == (900, 100)
        await assert_consistent(own, begun.id, finished=True)


async def assert_consistent(own: OwnService, import_id: str, *, finished: bool) -> None:
    """What the import counts is what is in the lines and in the ledger."""
    [(done, refused, whole)] = await own.rows(
        "SELECT done, refused, finished_at IS NOT NULL FROM adjustment_imports WHERE id = %(id)s",
        id=UUID(import_id),
    )
    assert whole == finished
    lines = await own.rows(
        "SELECT count(*) FILTER (WHERE outcome = 'done'), count(*) FILTER (WHERE outcome <> 'done')"
        " FROM adjustment_import_lines WHERE import_id = %(id)s",
        id=UUID(import_id),
    )
    assert lines == [(done, refused)]
    entries = "SELECT count(*), count(DISTINCT reference) FROM ledger_entries WHERE kind = 'ADJUST'"
    assert await own.rows(entries) == [(done, done)]
    await own.assert_balanced()


async def with_members(own: OwnService, platform: Platform, number: int) -> tuple[Manager, list[UUID]]:
    """Returns a manager, and members that points knows."""
    members = sorted(uuid4() for _ in range(number))
    for member in members:
        await execute(own, "INSERT INTO members (member_id, version) VALUES (%(id)s, 1)", id=member)
    return Manager(own, await platform.token("manager")), members


@asynccontextmanager
async def importer_of(own: OwnService) -> AsyncIterator[Importer]:
    """What a worker does imports with."""
    redis, settings = Redis(own.platform.redis_url, seconds=1), own.platform.settings["points"]
    programme = Programme(
        settings.currency,
        settings.time_zone,
        settings.expire_months,
        settings.claim_days,
        settings.refund_policy,
        settings.balance_floor,
    )
    try:
        yield Importer(own.database, Balances(own.database, LeasedCache(redis, BALANCE_KEYS)), programme)
    finally:
        await redis.close()
