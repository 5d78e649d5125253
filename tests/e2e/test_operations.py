"""What staff see of work that fails by a defect, over REST."""

from __future__ import annotations

import psycopg
import pytest

from tests.platform import Member, Platform, eventually, unique

SERVICES = ("identity", "points", "vouchers", "promos")


@pytest.mark.covers(
    "E9 IdentityOperationsService.ListSetAside",
    "E9 IdentityOperationsService.RetrySetAside",
    "E9 PointsOperationsService.ListSetAside",
    "E9 PointsOperationsService.RetrySetAside",
    "E9 PromosOperationsService.ListSetAside",
    "E9 PromosOperationsService.RetrySetAside",
)
@pytest.mark.parametrize("service", SERVICES)
async def test_admins_see_what_is_set_aside_in_each_service_and_have_it_tried(
    live: Platform, ada: Member, service: str
) -> None:
    path, mark = f"/v1/set-aside/{service}", f"-{int(unique(), 16)}"
    with psycopg.connect(live.databases[service]) as connection:
        connection.execute("INSERT INTO set_aside (kind, id, error) VALUES ('JOB', %s, 'ValueError')", [mark])
    try:
        query = "kind=SET_ASIDE_KIND_JOB&order_by=set_aside_at%20desc&with_total=true"
        listed = await live.ok("GET", f"{path}?{query}", token=live.admin)
        [found] = [one for one in listed["set_aside"] if one["id"] == mark]
        assert (found["kind"], found["last_error"], found["attempts"]) == (
            "SET_ASIDE_KIND_JOB",
            "ValueError",
            1,
        )
        assert listed["total"]["count"] >= 1
        body = {"kind": "SET_ASIDE_KIND_JOB", "id": mark}
        assert (await live.ok("POST", f"{path}:retry", body, token=live.admin))["retried"] == 1
        refused = await live.refused("POST", f"{path}:retry", {"id": "nothing"}, token=live.admin)
        assert (refused.status, refused.reason) == (404, "SET_ASIDE_NOT_FOUND")
        for token in (ada.token, await live.till()):
            assert (await live.refused("GET", path, token=token)).reason == "ROLE_NOT_ALLOWED"
    finally:
        with psycopg.connect(live.databases[service]) as connection:
            connection.execute("DELETE FROM set_aside WHERE id = %s", [mark])


async def test_points_that_can_not_expire_are_seen_and_expire_when_it_is_mended(
    live: Platform, till: str, member: Member
) -> None:
    await live.give(till, member, 10)
    database = live.databases["points"]
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE accounts SET version = version - 1 WHERE member_id = %s", [member.id])
        connection.execute("UPDATE lots SET expires_at = now() WHERE member_id = %s", [member.id])

    async def seen() -> None:
        listed = await live.ok("GET", "/v1/set-aside/points?kind=SET_ASIDE_KIND_EXPIRY", token=live.admin)
        found = [one["last_error"] for one in listed["set_aside"] if one["id"] == member.id]
        assert found == ["UnforeseenError 23505 pk_ledger_entries"]

    await live.kill("points-worker")  # a new one lets points expire at once, not within a minute
    await eventually(seen, 90)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE accounts SET version = version + 1 WHERE member_id = %s", [member.id])
    body = {"kind": "SET_ASIDE_KIND_EXPIRY", "id": member.id}
    await live.ok("POST", "/v1/set-aside/points:retry", body, token=live.admin)
    await live.kill("points-worker")

    async def expired() -> None:
        assert await live.balance(member) == 0

    await eventually(expired, 90)
