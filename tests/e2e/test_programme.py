"""The programme, read by anybody; and purchases of all members, as pages and as a file, over REST."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from tests.e2e.points import TIME_ZONE, days_ago, line, record, sale
from tests.platform import Member, Platform

PURCHASES, EXPORT = "/v1/purchases", "/v1/purchases:export"


@pytest.mark.covers("P4 ProgrammeService.GetProgramme")
async def test_an_app_reads_the_programme_before_anybody_logs_in(live: Platform) -> None:
    answer = await live.call("GET", "/v1/programme")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "public, max-age=60"
    told = answer.json()["programme"]
    assert (told["currency_code"], told["currency_decimals"], told["time_zone"]) == ("USD", 2, TIME_ZONE)
    assert told["base_rate"]["points"] > 0
    assert {"name", "consent_wording", "consent_version", "refund_policy"} <= told.keys()


async def test_what_is_the_same_for_everybody_may_be_kept_for_a_moment(live: Platform) -> None:
    offer = f"/v1/offers/{await live.voucher(3)}"
    for path in ("/v1/offers", offer, "/v1/payment-options", "/v1/campaigns:running"):
        answer = await live.call("GET", path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=5"), path
        assert "origin" in answer.headers["vary"], path
    for path, status in ((f"{offer[:-4]}0000", 404), ("/v1/offers?page_size=-1", 400), ("/v1/offers/1", 400)):
        answer = await live.call("GET", path)
        assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store"), path


@pytest.mark.covers("P4 PointsAdminService.ListPurchases")
async def test_staff_page_through_the_purchases_of_all(live: Platform, member: Member) -> None:
    till, began = await live.till(), datetime.now(UTC).isoformat().replace("+00:00", "Z")
    told = [
        (await record(live, till, sale(member, line(1_000), sold_at=days_ago(day))))["purchase"]
        for day in (2, 5, 1)
    ]
    query = f"{PURCHASES}?recorded_from={began}&member_id={member.id}&with_total=true&page_size=2"
    first = await live.ok("GET", query, token=live.admin)
    assert [one["purchase"] for one in first["purchases"]] == [told[2], told[1]]
    assert first["total"] == {"count": 3, "more": False}
    rest = await live.ok("GET", f"{query}&page_token={first['next_page_token']}", token=live.admin)
    assert [one["purchase"] for one in rest["purchases"]] == [told[0]]
    by_sale = await live.ok("GET", f"{query}&page_size=3&order_by=sold_at", token=live.admin)
    assert [one["purchase"]["id"] for one in by_sale["purchases"]] == [
        told[1]["id"],
        told[0]["id"],
        told[2]["id"],
    ]
    client_id = first["purchases"][0]["client_id"]
    of_till = await live.ok(
        "GET", f"{PURCHASES}?client_id={client_id}&recorded_from={began}", token=live.admin
    )
    assert len(of_till["purchases"]) == 3
    for wrong in ("order_by=price", "till_number=1", f"sold_until={began}&sold_from={began}"):
        refused = await live.refused("GET", f"{PURCHASES}?{wrong}", token=live.admin)
        assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")


@pytest.mark.covers("P4 PointsAdminService.ExportPurchases")
async def test_a_file_of_purchases_is_saved_and_tells_that_it_is_whole(
    live: Platform, member: Member
) -> None:
    till = await live.till()
    told = (await record(live, till, sale(member, line(1_000))))["purchase"]
    answer = await live.call("GET", f"{EXPORT}?member_id={member.id}", token=live.admin)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="purchases.csv"'
    assert answer.headers["cache-control"] == "no-store"
    row, last = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert (row["id"], row["receipt_number"]) == (told["id"], told["receipt_number"])
    assert (last["id"], last["receipt_number"]) == ("#end", "1")
    refused = await live.refused("GET", EXPORT, token=member.token)
    assert refused.reason == "ROLE_NOT_ALLOWED"
