"""Staff give and take points: one member at a time, or many from a file."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests import invariants
from tests.e2e.people import staff
from tests.e2e.points import (
    UNKNOWN,
    adjust,
    entries,
    finished_import,
    hand_in,
    known_to_points,
    line,
    record,
    refund,
    refunded,
    sale,
)
from tests.platform import Member, Platform, at_once, eventually, refusal, unique

IMPORTS = "/v1/adjustment-imports"
HEADER = "member_id,delta,reason\n"
LIMIT = 1 << 20


async def _result(live: Platform, import_id: str) -> list[dict[str, str]]:
    """Returns the lines of a result file."""
    answer = await live.call("GET", f"{IMPORTS}/{import_id}/result", token=live.admin)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    *lines, last = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert (last["line"], last["member_id"]) == ("#end", str(len(lines))), "the file is cut"
    return lines


# ---------------------------------------------------------------------------- one member


@pytest.mark.covers("P6 PointsAdminService.AdjustPoints")
async def test_points_are_given_and_taken_and_the_member_reads_why(live: Platform, member: Member) -> None:
    await known_to_points(live, member)
    given = await adjust(live, member, 500, "Sorry for the wait")
    assert (given["entry"]["delta"], given["entry"]["balance_after"], given["debt"]) == (500, 500, 0)
    taken = await adjust(live, member, -120, "Credited twice")
    assert await live.balance(member) == 380
    assert await entries(live, member) == [taken["entry"], given["entry"]]
    assert [(one["entry"]["kind"], one["entry"]["reason"]) for one in (given, taken)] == [
        ("ENTRY_KIND_ADJUST", "Sorry for the wait"),
        ("ENTRY_KIND_ADJUST", "Credited twice"),
    ]
    await live.at_rest(10)
    audited = await live.ok("GET", f"/v1/audit-entries?target_id={member.id}", token=live.admin)
    assert [entry["action"] for entry in audited["entries"]] == ["points.adjusted"] * 2


async def test_one_adjustment_fifty_times_at_once_counts_once(live: Platform, member: Member) -> None:
    await known_to_points(live, member)
    path, body, key = f"/v1/members/{member.id}/points:adjust", {"delta": 70, "reason": "Prize"}, unique()
    answers = await at_once([live.call("POST", path, body, token=live.admin, key=key) for _ in range(50)])
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    other = await live.refused("POST", path, body | {"delta": 71}, token=live.admin, key=key)
    assert (other.status, other.reason) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert await live.balance(member) == 70


async def test_what_is_given_pays_what_is_owed(live: Platform, member: Member, till: str) -> None:
    bought = await record(live, till, sale(member, line(50_000)))
    await live.bought(member, await live.voucher(1, points=50))
    await refunded(live, till, bought["purchase"]["id"], refund())
    told = await adjust(live, member, 80)
    assert (told["entry"]["delta"], told["entry"]["debt_delta"], told["debt"]) == (30, -50, 0)
    assert await live.balance(member) == 30


@pytest.mark.covers("P6 PointsAdminService.AdjustPoints")
async def test_members_who_are_unknown_or_gone_and_too_few_points_are_refused(
    live: Platform, member: Member
) -> None:
    async def told(member_id: str, delta: int) -> Any:
        path, body = f"/v1/members/{member_id}/points:adjust", {"delta": delta, "reason": "Test"}
        return await live.refused("POST", path, body, token=live.admin, key=unique())

    await known_to_points(live, member)
    few = await told(member.id, -1)
    assert (few.status, few.reason) == (400, "INSUFFICIENT_POINTS")
    nobody = await told(UNKNOWN, 1)
    assert (nobody.status, nobody.reason) == (404, "MEMBER_NOT_FOUND")
    await adjust(live, member, 1_000_000_000)
    await adjust(live, member, 1_000_000_000)
    much = await told(member.id, 1_000_000_000)
    assert (much.status, much.reason) == (400, "BALANCE_LIMIT_REACHED")
    await live.close(member)

    async def is_gone() -> None:
        assert (gone := await told(member.id, -1)).reason == "MEMBER_CLOSED", gone.reason
        assert gone.status == 400

    await eventually(is_gone, 10)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"delta": 0}, "delta"),
        ({"delta": 1_000_000_001}, "delta"),
        ({"delta": -1_000_000_001}, "delta"),
        ({"delta": 2**31}, "delta"),
        ({"delta": 1.5}, "delta"),
        ({"reason": ""}, "reason"),
        ({"reason": " \t "}, "reason"),
        ({"reason": "x" * 201}, "reason"),
        ({"reason": "x\x00"}, "reason"),
    ],
)
async def test_an_adjustment_that_makes_no_sense_is_refused(
    live: Platform, ada: Member, change: dict[str, Any], field: str
) -> None:
    body = {"delta": 1, "reason": "Goodwill"} | change
    path = f"/v1/members/{ada.id}/points:adjust"
    refused = await live.refused("POST", path, body, token=live.admin, key=unique())
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert field in refused.message
    assert await live.balance(ada) == 1_000


async def test_adjusting_needs_a_key(live: Platform, ada: Member) -> None:
    body = {"delta": 1, "reason": "Goodwill"}
    refused = await live.refused("POST", f"/v1/members/{ada.id}/points:adjust", body, token=live.admin)
    assert (refused.status, refused.reason) == (400, "IDEMPOTENCY_KEY_REQUIRED")
    headers = {"authorization": f"Bearer {live.admin}", "content-type": "text/csv"}
    answer = await live.http.post(IMPORTS, content=f"{HEADER}{ada.id},1,x\n", headers=headers)
    assert refusal(answer).reason == "IDEMPOTENCY_KEY_REQUIRED"


async def test_only_managers_and_admins_adjust(live: Platform, ada: Member, till: str) -> None:
    cashier = (await staff(live, "CASHIER")).token
    body = {"delta": 1, "reason": "Goodwill"}
    for token in (cashier, till, ada.token):
        for method, path in (
            ("POST", f"/v1/members/{ada.id}/points:adjust"),
            ("POST", IMPORTS),
            ("GET", IMPORTS),
            ("GET", f"{IMPORTS}/{UNKNOWN}"),
            ("GET", f"{IMPORTS}/{UNKNOWN}/result"),
        ):
            given = body if method == "POST" else None
            refused = await live.refused(method, path, given, token=token, key=unique())
            assert (refused.status, refused.reason) == (403, "ROLE_NOT_ALLOWED"), path


# ---------------------------------------------------------------------------- a file


@pytest.mark.covers("P6 PointsAdminService.CreateAdjustmentImport")
async def test_each_line_of_a_file_counts_once_and_is_accounted_for(
    live: Platform, member: Member, ada: Member
) -> None:
    await known_to_points(live, member)
    content = (
        f"{HEADER}{member.id},250,Täglich\r\n"
        f'{member.id},-50,"Twice, \n by mistake"\r\n\r\n'
        f"{UNKNOWN},5,Who?\r\n{member.id},0,Nothing\r\n{member.id},-9999,Too much\r\nme,5,=1+1\r\n"
    )
    key = unique()
    answers = await at_once([hand_in(live, content, key=key) for _ in range(20)])
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    assert len({answer.content for answer in answers}) == 1
    made = answers[0].json()["adjustment_import"]
    assert (made["lines"], made["done"], "finished_at" in made) == (6, 0, False)
    told = await finished_import(live, made["id"])
    assert (told["done"], told["refused"], told["id"]) == (2, 4, made["id"])
    assert await live.balance(member) == 200
    assert [entry["reason"] for entry in await entries(live, member)] == ["Twice, \n by mistake", "Täglich"]
    lines = await _result(live, made["id"])
    assert [(one["line"], one["outcome"], one["balance_after"]) for one in lines] == [
        ("2", "done", "250"),
        ("3", "done", "200"),
        ("6", "MEMBER_NOT_FOUND", ""),
        ("7", "VALIDATION_FAILED", ""),
        ("8", "INSUFFICIENT_POINTS", ""),
        ("9", "VALIDATION_FAILED", ""),
    ]
    assert lines[-1]["reason"] == "'=1+1"
    other = refusal(await hand_in(live, f"{HEADER}{member.id},1,x\n", key=key))
    assert (other.status, other.reason) == (409, "IDEMPOTENCY_KEY_REUSED")
    invariants.check_movements(live.databases["points"])


@pytest.mark.covers("P6 PointsAdminService.GetAdjustmentImportResult")
async def test_a_long_file_is_taken_and_its_result_streams(live: Platform, member: Member) -> None:
    await known_to_points(live, member)
    count = 3_000
    answer = await hand_in(live, HEADER + f"{member.id},1,Täglich\n" * 300 + "nobody,1,x\n" * (count - 300))
    assert answer.status_code == 200, answer.text
    told = await finished_import(live, answer.json()["adjustment_import"]["id"])
    assert (told["lines"], told["done"], told["refused"]) == (count, 300, count - 300)
    lines = await _result(live, told["id"])
    assert [int(one["line"]) for one in lines] == list(range(2, count + 2))
    assert await live.balance(member) == 300


@pytest.mark.covers("P6 PointsAdminService.CreateAdjustmentImport")
@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param(HEADER, id="no-lines"),
        pytest.param(f"{UNKNOWN},1,x\n", id="no-header"),
        pytest.param(f"member,delta,reason\n{UNKNOWN},1,x\n", id="other-header"),
        pytest.param(HEADER.encode() + b"x,1,T\xe4glich\n", id="latin-1"),
        pytest.param(HEADER + "x,1,a\x00b\n", id="nul"),
        pytest.param(HEADER + 'x,1,"open\n', id="open-quote"),
        pytest.param(HEADER + "x,1,y\n" * 20_001, id="20,001-lines"),
    ],
)
async def test_what_is_no_such_file_is_refused_whole(live: Platform, content: str | bytes) -> None:
    refused = refusal(await hand_in(live, content))
    assert (refused.status, refused.reason, refused.fields) == (400, "VALIDATION_FAILED", ["file.data"])


@pytest.mark.covers("P6 PointsAdminService.CreateAdjustmentImport")
@pytest.mark.parametrize("kind", ["", "application/json", "text/plain", "multipart/form-data; boundary=x"])
async def test_only_csv_is_taken(live: Platform, kind: str) -> None:
    refused = refusal(await hand_in(live, f"{HEADER}{UNKNOWN},1,x\n", kind=kind))
    assert (refused.status, refused.reason, refused.fields) == (
        400,
        "VALIDATION_FAILED",
        ["file.content_type"],
    )


@pytest.mark.covers("P6 PointsAdminService.CreateAdjustmentImport")
async def test_a_file_that_is_too_large_is_413(live: Platform) -> None:
    filler = f"nobody,1,{'x' * 200}\n"
    many = HEADER + filler * ((LIMIT - len(HEADER)) // len(filler))
    fits = many + " " * (LIMIT - len(many))
    refused = refusal(await hand_in(live, fits + " "))
    assert (refused.status, refused.reason) == (413, "REQUEST_TOO_LARGE")
    assert refused.metadata == {"limit_bytes": str(LIMIT)}
    assert (await hand_in(live, fits)).status_code == 200


@pytest.mark.covers("P6 PointsAdminService.ListAdjustmentImports")
async def test_imports_are_listed_by_state_and_unknown_ones_are_404(live: Platform, ada: Member) -> None:
    made = [(await hand_in(live, HEADER + "x,1,y\n")).json()["adjustment_import"] for _ in range(3)]
    assert {one["state"] for one in made} == {"IMPORT_STATE_FINISHED"}
    page = await live.ok("GET", f"{IMPORTS}?state=IMPORT_STATE_FINISHED&page_size=2", token=live.admin)
    assert page["adjustment_imports"] == made[:0:-1]
    again = f"{IMPORTS}?state=import_state_finished&page_size=1&page_token={page['next_page_token']}"
    assert (await live.ok("GET", again, token=live.admin))["adjustment_imports"] == made[:1]
    other = f"{IMPORTS}?page_token={page['next_page_token']}"
    assert (await live.refused("GET", other, token=live.admin)).reason == "PAGE_TOKEN_NOT_VALID"
    for path in (f"{IMPORTS}/{UNKNOWN}", f"{IMPORTS}/{UNKNOWN}/result"):
        refused = await live.refused("GET", path, token=live.admin)
        assert (refused.status, refused.reason) == (404, "IMPORT_NOT_FOUND")
        assert refused.metadata == {"adjustment_import_id": UNKNOWN}
    malformed = await live.refused("GET", f"{IMPORTS}/1/result", token=live.admin)
    assert (malformed.status, malformed.fields) == (400, ["adjustment_import_id"])
