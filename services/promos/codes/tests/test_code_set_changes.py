"""What staff change of sets of codes, and what they can not."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from scrip.promos.v1 import code_pb2

from services.common.encoding import timestamp
from services.promos.tests.code_set_help import (
    NOTHING_OFF,
    TEN_PERCENT,
    actions_on,
    create_set,
    get_set,
    made_set,
    texts_of,
    until_ready,
    update_set,
)
from services.promos.tests.support import FIVE_DOLLARS, Promos, at_once, in_days
from tests.inprocess import eventually, reason, refusal

FAILED = grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.covers("C1 CodeSetService.UpdateCodeSet")
async def test_what_is_given_changes_and_what_is_named_is_emptied(promos: Promos) -> None:
    made = await made_set(promos, uses_per_member=2, starts_at=timestamp(in_days(1)))
    expires_at = timestamp(in_days(5))
    changed = await update_set(
        promos,
        made.id,
        etag=made.etag,
        name=" Autumn ",
        quantity=8,
        expires_at=expires_at,
        enabled=False,
        clear=["starts_at", "uses_per_member"],
    )
    assert (changed.name, changed.quantity, changed.expires_at, changed.enabled) == (
        "Autumn",
        8,
        expires_at,
        False,
    )
    assert not changed.HasField("starts_at")
    assert not changed.HasField("uses_per_member")
    assert changed.etag != made.etag
    assert (await until_ready(promos, made.id)).made == 8
    assert len(await texts_of(promos, made.id)) == 8
    assert await reason(update_set(promos, made.id, etag=made.etag, name="x")) == "ETAG_MISMATCH"
    assert (await update_set(promos, made.id, name="Autumn")).etag == changed.etag, "nothing was different"

    async def audited() -> None:
        assert await actions_on(promos, made.id) == ["code_set.created", "code_set.updated"]

    await eventually(audited)


async def test_a_quantity_is_not_lowered_below_what_is_made(promos: Promos) -> None:
    made = await made_set(promos, quantity=5)
    refused = await refusal(update_set(promos, made.id, quantity=4))
    assert refused == (
        "CODE_SET_QUANTITY_TOO_SMALL",
        FAILED,
        {"code_set_id": made.id, "least_quantity": "5"},
    )
    assert (await update_set(promos, made.id, quantity=5)).etag == made.etag


async def test_what_codes_promise_changes_only_while_there_are_none(promos: Promos) -> None:
    made = await create_set(promos, quantity=0, import_only=True)
    changed = await update_set(promos, made.id, benefit=FIVE_DOLLARS, uses_allowed=4, quantity=2)
    assert (changed.benefit, changed.uses_allowed) == (FIVE_DOLLARS, 4)
    await until_ready(promos, made.id)
    for fields in ({"benefit": TEN_PERCENT}, {"uses_allowed": 5}):
        refused = await refusal(update_set(promos, made.id, **fields))
        assert refused == ("CODE_SET_HAS_CODES", FAILED, {"code_set_id": made.id})
    same = await update_set(promos, made.id, benefit=FIVE_DOLLARS, uses_allowed=4)
    assert same.etag == changed.etag


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"quantity": -1},
        {"quantity": 10_000_001},
        {"uses_allowed": 0},
        {"uses_per_member": 0},
        {"benefit": code_pb2.Benefit()},
        {"benefit": NOTHING_OFF},
        {"clear": ["name"]},
        {"clear": ["starts_at", "starts_at"]},
        {"starts_at": timestamp(in_days(1)), "clear": ["starts_at"]},
        {"starts_at": timestamp(in_days(2)), "expires_at": timestamp(in_days(1))},
        {"expires_at": timestamp(in_days(-2)), "starts_at": timestamp(in_days(-1))},
    ],
)
async def test_bad_changes_are_refused(promos: Promos, fields: dict[str, Any]) -> None:
    made = await create_set(promos, quantity=0, import_only=True)
    assert await reason(update_set(promos, made.id, **fields)) == "VALIDATION_FAILED"
    assert await get_set(promos, made.id) == made


async def test_of_fifty_who_read_the_same_version_one_changes_it(promos: Promos) -> None:
    made = await create_set(promos, quantity=0, import_only=True)
    changes = (update_set(promos, made.id, etag=made.etag, name=f"Name {number}") for number in range(50))
    replies, refusals = await at_once(changes)
    assert (len(replies), refusals) == (1, {"ETAG_MISMATCH": 49})
