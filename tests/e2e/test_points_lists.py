"""Lists of movements and purchases: filters by kind and time, and pages that add up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.e2e.points import adjust, days_ago, line, record, refund, refunded, sale
from tests.platform import Member, Platform

ENTRIES, PURCHASES = "/v1/members/me/points/entries", "/v1/members/me/purchases"
KINDS = ("EARN", "SPEND", "REFUND", "ADJUST")


@pytest_asyncio.fixture(scope="module")
async def busy(live: Platform, till: str) -> Member:
    """A member with four movements of each kind of a life, who bought on each of ten days."""
    member = await live.member()
    voucher = await live.voucher(4, points=10)
    for day in range(10, 0, -1):
        told = await record(live, till, sale(member, line(50_000, 2), sold_at=days_ago(day)))
        if day % 3 == 0 or day == 10:
            await live.bought(member, voucher)
            await refunded(live, till, told["purchase"]["id"], refund((1, 1)))
            await adjust(live, member, 5)
    return member


async def _all(live: Platform, member: Member, path: str, query: str = "", size: int = 7) -> list[Any]:
    """Returns every row, page by page."""
    found: list[Any] = []
    token = ""
    while True:
        page = await live.ok("GET", f"{path}?{query}&page_size={size}&page_token={token}", token=member.token)
        [rows] = [value for value in page.values() if isinstance(value, list)]
        assert len(rows) <= size
        found += rows
        if not (token := page["next_page_token"]):
            return found


@pytest.mark.covers("P4 PointsService.ListMyEntries")
async def test_pages_of_every_size_add_up(live: Platform, busy: Member) -> None:
    for path, count in ((ENTRIES, 22), (PURCHASES, 10)):
        whole = await _all(live, busy, path, size=200)
        assert len(whole) == count
        for size in (1, 3, 10):
            assert await _all(live, busy, path, size=size) == whole
    sequences = [entry["sequence"] for entry in await _all(live, busy, ENTRIES)]
    assert sequences == [str(n) for n in range(22, 0, -1)]


@pytest.mark.parametrize("kind", KINDS)
async def test_entries_are_filtered_by_kind(live: Platform, busy: Member, kind: str) -> None:
    whole = await _all(live, busy, ENTRIES)
    wanted = [entry for entry in whole if entry["kind"] == f"ENTRY_KIND_{kind}"]
    assert len(wanted) == (10 if kind == "EARN" else 4)
    assert await _all(live, busy, ENTRIES, f"kind=ENTRY_KIND_{kind}", size=3) == wanted
    assert await _all(live, busy, ENTRIES, f"kind=entry_kind_{kind.lower()}") == wanted
    assert (
        await _all(live, busy, ENTRIES, f"kind=ENTRY_KIND_{kind}&occurred_until=2020-01-01T00:00:00Z") == []
    )


async def test_entries_are_filtered_by_time(live: Platform, busy: Member) -> None:
    whole = await _all(live, busy, ENTRIES)
    start, end = (whole[n]["occurred_at"] for n in (15, 5))
    wanted = [entry for entry in whole if start <= entry["occurred_at"] < end]
    assert 0 < len(wanted) < len(whole)
    assert await _all(live, busy, ENTRIES, f"occurred_from={start}&occurred_until={end}", size=4) == wanted
    assert await _all(live, busy, ENTRIES, f"occurred_from={end}") == [
        e for e in whole if e["occurred_at"] >= end
    ]
    spent = [entry for entry in wanted if entry["kind"] == "ENTRY_KIND_SPEND"]
    assert (
        await _all(live, busy, ENTRIES, f"kind=ENTRY_KIND_SPEND&occurred_from={start}&occurred_until={end}")
        == spent
    )


@pytest.mark.covers("P4 PointsService.ListMyPurchases")
async def test_purchases_are_filtered_by_the_time_of_sale(live: Platform, busy: Member) -> None:
    whole = await _all(live, busy, PURCHASES)
    start, end = whole[6]["sold_at"], whole[2]["sold_at"]
    assert await _all(live, busy, PURCHASES, f"sold_from={start}&sold_until={end}", size=2) == whole[3:7]
    assert await _all(live, busy, PURCHASES, f"sold_until={start}") == whole[7:]
    seen = await live.ok(
        "GET", f"/v1/members/{busy.id}/purchases?sold_from={start}&sold_until={end}", token=live.admin
    )
    assert seen["purchases"] == whole[3:7]


async def test_a_time_may_have_any_offset_when_it_is_quoted(live: Platform, busy: Member) -> None:
    whole = await _all(live, busy, PURCHASES)
    start = datetime.fromisoformat(whole[4]["sold_at"])
    for hours in (-5, 0, 2):
        shifted = (start + timedelta(hours=hours)).replace(tzinfo=None).isoformat()
        written = f"{shifted}{'-' if hours < 0 else '+'}{abs(hours):02d}:00"
        assert await _all(live, busy, PURCHASES, f"sold_from={quote(written, safe='')}") == whole[:5]
    unquoted = f"{PURCHASES}?sold_from=2026-01-01T00:00:00+02:00"  # a plus is a blank in a query
    refused = await live.refused("GET", unquoted, token=busy.token)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert "from" in refused.message


@pytest.mark.parametrize("where", [f"{ENTRIES}?occurred", f"{PURCHASES}?sold"])
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("{where}_from=yesterday", "from"),
        ("{where}_from=2026-13-01T00:00:00Z", "from"),
        ("{where}_until=0", "until"),
        ("{where}_from=2026-01-02T00:00:00Z&{of}_until=2026-01-01T00:00:00Z", "until"),
        ("{where}_from=2026-01-02T00:00:00Z&{of}_until=2026-01-02T00:00:00Z", "until"),
        ("{path}?page_size=201", "page_size"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(
    live: Platform, ada: Member, where: str, query: str, named: str
) -> None:
    path, _, of = where.partition("?")
    refused = await live.refused("GET", query.format(where=where, path=path, of=of), token=ada.token)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert named in refused.message


@pytest.mark.covers("P4 PointsService.ListMyEntries")
async def test_a_page_token_belongs_to_its_list_its_filter_and_its_member(
    live: Platform, busy: Member, ada: Member
) -> None:
    filtered = f"{ENTRIES}?page_size=1&kind=ENTRY_KIND_EARN"
    token = (await live.ok("GET", filtered, token=busy.token))["next_page_token"]
    more = await live.ok("GET", f"{filtered}&page_token={token}", token=busy.token)
    assert len(more["entries"]) == 1
    for path, caller in (
        (f"{ENTRIES}?page_token={token}", busy.token),
        (f"{ENTRIES}?kind=ENTRY_KIND_SPEND&page_token={token}", busy.token),
        (f"{filtered}&occurred_from=2020-01-01T00:00:00Z&page_token={token}", busy.token),
        (f"{PURCHASES}?page_token={token}", busy.token),
        (f"{filtered}&page_token={token}", ada.token),
        (f"/v1/members/{busy.id}/points/entries?kind=ENTRY_KIND_EARN&page_token={token}", live.admin),
    ):
        refused = await live.refused("GET", path, token=caller)
        assert (refused.status, refused.reason) == (400, "PAGE_TOKEN_NOT_VALID")


async def test_new_rows_do_not_shift_the_pages(live: Platform, member: Member, till: str) -> None:
    for _ in range(4):
        await live.give(till, member, 1)
    first = await live.ok("GET", f"{ENTRIES}?page_size=2", token=member.token)
    await live.give(till, member, 1)
    token = first["next_page_token"]
    second = await live.ok("GET", f"{ENTRIES}?page_size=2&page_token={token}", token=member.token)
    assert [entry["sequence"] for entry in first["entries"] + second["entries"]] == ["4", "3", "2", "1"]
