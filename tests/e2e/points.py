"""Points as tills and staff know them: what several tests do with them over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from stack.rest import item, receipt
from tests.platform import Member, Platform, eventually, unique

UNKNOWN = "01990000-0000-7000-8000-000000000000"
HEARD_SECONDS = 10.0
CSV = "text/csv; charset=utf-8"
EXPIRE_MONTHS, TIME_ZONE = 12, "Europe/Berlin"
POINTS_SETTINGS = {"SCRIP_EXPIRE_MONTHS": str(EXPIRE_MONTHS), "SCRIP_TIME_ZONE": TIME_ZONE}
"""What the stack of these tests has otherwise than by default."""


def line(cents: int, quantity: int = 1, category: str = "", *, alcohol: bool = False) -> dict[str, Any]:
    """Returns a line of a receipt."""
    return item("1", "Something", cents, quantity=quantity, alcohol=alcohol, category=category)


def sale(
    member: Member | None, *lines: dict[str, Any], sold_at: datetime | None = None, **fields: Any
) -> dict[str, Any]:
    """Returns a receipt with a number of its own; without a member it can be claimed."""
    code = member.code if member else ""
    when = (sold_at or datetime.now(UTC)).isoformat()
    return receipt(code, f"R-{unique()}", when, *lines) | fields


async def record(live: Platform, till: str, body: dict[str, Any]) -> Any:
    """Returns the purchase that a receipt becomes, which must be recorded."""
    return await live.ok("POST", "/v1/purchases", body, token=till)


async def details(live: Platform, token: str, purchase_id: str) -> Any:
    """Returns a purchase with its lines and refunds."""
    return (await live.ok("GET", f"/v1/purchases/{purchase_id}", token=token))["details"]


def refund(*lines: tuple[int, int], number: str = "", reason: str = "") -> dict[str, Any]:
    """Returns a refund of so many of these lines; of everything when none is named."""
    back = [{"line": number, "quantity": quantity} for number, quantity in lines]
    return {"refund_number": number or f"F-{unique()}", "lines": back, "reason": reason}


async def refunded(live: Platform, token: str, purchase_id: str, body: dict[str, Any]) -> Any:
    """Returns the response to a refund that must be done."""
    return await live.ok("POST", f"/v1/purchases/{purchase_id}:refund", body, token=token)


async def adjust(live: Platform, member: Member, delta: int, reason: str = "Goodwill") -> Any:
    """Returns an adjustment by the admin that must be done."""
    path, body = f"/v1/members/{member.id}/points:adjust", {"delta": delta, "reason": reason}
    return await live.ok("POST", path, body, token=live.admin, key=unique())


async def entries(live: Platform, member: Member, query: str = "") -> list[dict[str, Any]]:
    """Returns a page of the member's ledger as it sees it, newest first."""
    path = f"/v1/members/me/points/entries?{query}"
    found: list[dict[str, Any]] = (await live.ok("GET", path, token=member.token))["entries"]
    return found


async def create_rule(live: Platform, **fields: Any) -> Any:
    """Returns a new earn rule."""
    body = {"name": f"Rule {unique()}"} | fields
    return (await live.ok("POST", "/v1/earn-rules", body, token=live.admin))["rule"]


async def delete_rule(live: Platform, rule: Any) -> None:
    """Takes a rule out of force again."""
    await live.ok("DELETE", f"/v1/earn-rules/{rule['id']}", token=live.admin)


@asynccontextmanager
async def rules_in_force(live: Platform, till: str, *wanted: dict[str, Any]) -> AsyncIterator[list[Any]]:
    """Rules that tills' receipts are judged by, as long as the block lasts.

    They must not touch what other tests sell: by a category or a window of their own.
    """
    rules = [await create_rule(live, **fields) for fields in wanted]
    try:
        await _wait_in_force(live, till)
        yield rules
    finally:
        for rule in rules:
            await delete_rule(live, rule)


async def _wait_in_force(live: Platform, till: str) -> None:
    """A process learns of sets in their order: when one more rule holds, so do those before."""
    category = unique()
    probe = await create_rule(live, multiplier={"percent": 50, "categories": [category]})

    async def heard() -> None:
        told = await record(live, till, sale(None, line(1_000, category=category)))
        assert probe["id"] in [rule["earn_rule_id"] for rule in told["purchase"]["applied_rules"]]

    await eventually(heard, HEARD_SECONDS)
    await delete_rule(live, probe)


async def hand_in(live: Platform, content: str | bytes, *, key: str = "", kind: str = CSV) -> httpx.Response:
    """Hands a file of adjustments in as curl would; returns the response."""
    headers = {"authorization": f"Bearer {live.admin}", "idempotency-key": key or unique()}
    if kind:
        headers["content-type"] = kind
    body = content.encode() if isinstance(content, str) else content
    return await live.http.post("/v1/adjustment-imports", content=body, headers=headers)


async def finished_import(live: Platform, import_id: str) -> Any:
    """Returns the import when every line is done or refused."""

    async def finished() -> Any:
        path = f"/v1/adjustment-imports/{import_id}"
        told = (await live.ok("GET", path, token=live.admin))["adjustment_import"]
        assert told["state"] == "IMPORT_STATE_FINISHED"
        return told

    return await eventually(finished, HEARD_SECONDS)


async def known_to_points(live: Platform, member: Member) -> None:
    """Waits until points has the member's registration."""

    async def heard() -> None:
        path, body = f"/v1/members/{member.id}/points:adjust", {"delta": -1, "reason": "Is it known?"}
        refused = await live.refused("POST", path, body, token=live.admin, key=unique())
        assert refused.reason == "INSUFFICIENT_POINTS"

    await eventually(heard, HEARD_SECONDS)


def days_ago(days: float) -> datetime:
    """Returns a moment of the past."""
    return datetime.now(UTC) - timedelta(days=days)
