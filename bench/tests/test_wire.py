"""What goes over the wire is what the scenarios describe."""

import itertools
import json

import pytest
from scrip.points.v1 import purchase_pb2

from bench.wire import (
    BASKET_LINES,
    BATCH,
    BATCH_SIZE,
    GET_BALANCE,
    IN_MESSAGE,
    ITEMS,
    KEY_LENGTH,
    PLACE_ORDER,
    QUOTE_BASKET,
    RECORD_PURCHASE,
    requests,
    streamed,
)
from bench.world import World


def _parts(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return dict(line.split(": ", 1) for line in lines[1:]) | {"first": lines[0]}, body


def test_each_purchase_is_a_new_receipt_of_five_items_of_which_one_is_alcohol(world: World) -> None:
    numbers = set()
    for request in itertools.islice(requests(RECORD_PURCHASE, world, 80, "run"), 100):
        headers, body = _parts(request)
        assert int(headers["content-length"]) == len(body)
        assert headers["authorization"].startswith("Bearer till-token-")
        sent = json.loads(body)
        assert len(sent["items"]) == ITEMS
        assert sum(item["alcohol"] for item in sent["items"]) == 1
        assert len(sent["receipt_number"]) == KEY_LENGTH
        numbers.add(sent["receipt_number"])
    assert len(numbers) == 100


def test_each_order_has_a_key_of_its_own(world: World) -> None:
    keys = set()
    for request in itertools.islice(requests(PLACE_ORDER, world, 80, "run"), 100):
        headers, body = _parts(request)
        assert int(headers["content-length"]) == len(body)
        assert json.loads(body) == {"voucher_id": world.voucher_id}
        keys.add(headers["idempotency-key"])
    assert len(keys) == 100


def test_each_basket_has_ten_lines_and_two_codes(world: World) -> None:
    for request in itertools.islice(requests(QUOTE_BASKET, world, 80, "run"), 10):
        headers, body = _parts(request)
        assert int(headers["content-length"]) == len(body)
        assert headers["authorization"].startswith("Bearer till-token-")
        sent = json.loads(body)
        assert len(sent["lines"]) == BASKET_LINES == 10
        assert len(set(sent["codes"])) == 2


def test_each_batch_has_a_thousand_new_receipts(world: World) -> None:
    numbers = set()
    for request in itertools.islice(requests(BATCH, world, 80, "run"), 3):
        headers, body = _parts(request)
        assert int(headers["content-length"]) == len(body)
        numbers |= {one["receipt_number"] for one in json.loads(body)["purchases"]}
    assert len(numbers) == 3 * BATCH_SIZE


@pytest.mark.parametrize(("scenario", "in_message"), IN_MESSAGE.items())
def test_streams_have_receipts_of_their_own(world: World, scenario: str, in_message: int) -> None:
    messages = [
        [one.receipt_number for one in purchase_pb2.StreamPurchasesRequest.FromString(message).purchases]
        for stream in itertools.islice(streamed(world, scenario, "run"), 2)
        for message in itertools.islice(stream, 50)
    ]
    assert {len(numbers) for numbers in messages} == {in_message}
    assert len(set(itertools.chain.from_iterable(messages))) == 100 * in_message


@pytest.mark.parametrize("scenario", [RECORD_PURCHASE, GET_BALANCE, PLACE_ORDER])
def test_requests_are_spread_over_all_members_evenly(world: World, scenario: str) -> None:
    found = [
        request.split(b"run-")[0] for request in itertools.islice(requests(scenario, world, 80, "run"), 9)
    ]
    assert len(set(found)) == len(world.members)


def test_a_balance_is_asked_without_a_body(world: World) -> None:
    headers, body = _parts(next(requests(GET_BALANCE, world, 80, "run")))
    assert headers["first"] == "GET /v1/members/me/points HTTP/1.1"
    assert body == b""
