"""The requests of each scenario as bytes on the wire, made beforehand as far as they can be."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from scrip.points.v1 import purchase_pb2

from bench.codes import CODES, code_text
from bench.world import World
from stack.rest import item, receipt

RECORD_PURCHASE, GET_BALANCE, PLACE_ORDER = "RecordPurchase", "GetBalance", "PlaceOrder"
CLAIM_CODE = "ClaimCode"
HOT_MEMBER, BATCH = "RecordPurchase, one member", "BatchRecordPurchases"
STREAM, STREAM_OF_ONES = "StreamPurchases", "StreamPurchases, one a message"
WITHOUT_REDIS = "GetBalance without Redis"
QUOTE_BASKET, REDEEM_CODE = "QuoteBasket", "RedeemCode"
SCENARIOS = (
    *(RECORD_PURCHASE, HOT_MEMBER, BATCH, STREAM, STREAM_OF_ONES),
    *(GET_BALANCE, WITHOUT_REDIS, PLACE_ORDER, QUOTE_BASKET, REDEEM_CODE, CLAIM_CODE),
)
ENTRIES = "history"
FLASH_SALE, SOLD_OUT = "FlashSale", "sold out"
EXPECTED = {
    ENTRIES: b'"entries"',
    RECORD_PURCHASE: b'"balance_after"',
    HOT_MEMBER: b'"balance_after"',
    BATCH: b'"recorded"',
    GET_BALANCE: b'"balance"',
    PLACE_ORDER: b"ORDER_STATE_COMPLETED",
    QUOTE_BASKET: b'"discounts":[{',
    CLAIM_CODE: b"CLAIM_STATE_USABLE",
    REDEEM_CODE: b'"redeemed_at"',
    FLASH_SALE: b"ORDER_STATE_COMPLETED",
    SOLD_OUT: b'"SOLD_OUT"',
}
"""What a response must hold to count. An order that is only pending does not."""
BATCH_SIZE = 1_000
IN_MESSAGE = {STREAM: 100, STREAM_OF_ONES: 1}
"""Receipts in each message of a stream."""

ITEMS = 5
BASKETS, BASKET_LINES = 500, 10
KEY_LENGTH = 36
_KEY = b"#" * KEY_LENGTH
_ARTICLES = (
    ("4011", "Bananas", "fruit", 199, 3),
    ("2051", "Sourdough bread", "bakery", 449, 1),
    ("3107", "Whole milk, one litre", "dairy", 129, 2),
    ("5512", "Ground coffee, 500 g", "coffee", 899, 1),
    ("6033", "Olive oil, 750 ml", "pantry", 1_149, 1),
    ("7208", "Dish soap", "household", 349, 1),
    ("8840", "Notebook, A5", "stationery", 575, 2),
    ("9121", "Bicycle lamp", "outdoor", 2_490, 1),
)
_ALCOHOL = (("1701", "Red wine", "wine", 1_450, 1), ("1802", "Pale ale, six bottles", "beer", 1_099, 1))


def requests(scenario: str, world: World, port: int, run: str, turn: int = 0) -> Iterator[bytes]:
    """Requests without end, spread over all members; keys begin with `run`, which is new for each run.

    Claims do end: `turn` says which of the discounts are claimed, for each member claims each of them once.
    So does a flash sale, where each member orders once.
    """
    lots = random.Random(run)
    if scenario == CLAIM_CODE:
        return _claims(world, port, run, world.discounts[turn])
    if scenario == BATCH:
        return _batches(world, port, run, lots)
    if scenario == RECORD_PURCHASE:
        templates = _purchases(world, port, lots)
    elif scenario == HOT_MEMBER:
        # Another one in each run, so that no ledger is longer than others for it.
        hot = lots.choice(world.members)
        templates = _purchases(World(world.tills, [hot], world.voucher_id), port, lots)
    elif scenario in {PLACE_ORDER, FLASH_SALE, SOLD_OUT}:
        templates = _orders(world, port)
    elif scenario == QUOTE_BASKET:
        templates = _baskets(world, port, lots)
    elif scenario == REDEEM_CODE:
        templates = _redemptions(world, port)
    else:
        templates = [(_head("GET", "/v1/members/me/points", port, m.token), b"") for m in world.members]
    lots.shuffle(templates)
    found = _endless(templates, run)
    return itertools.islice(found, len(templates)) if scenario == FLASH_SALE else found


def reads(world: World, port: int, path: str) -> Iterator[bytes]:
    """The first member reads the same again and again."""
    return itertools.repeat(_head("GET", path, port, world.members[0].token))


def _endless(templates: Sequence[tuple[bytes, bytes]], run: str) -> Iterator[bytes]:
    for number, (before, after) in enumerate(itertools.cycle(templates)):
        yield b"%b%b%b" % (before, _key(run, number), after) if after else before


def _key(run: str, number: int) -> bytes:
    return f"{run}-{number:0{KEY_LENGTH - len(run) - 1}d}".encode()


ReceiptLine = tuple[str, str, str, int, int, bool]
"""sku, name, category, price in minor units, quantity, alcohol."""


def lines(lots: random.Random) -> list[ReceiptLine]:
    """Returns the lines of a receipt."""
    return [
        *((*article, False) for article in lots.sample(_ARTICLES, ITEMS - 1)),
        (*lots.choice(_ALCOHOL), True),
    ]


def streamed(world: World, scenario: str, run: str) -> Iterator[Iterator[bytes]]:
    """Receipts without end for each of as many streams as are asked for, as messages of gRPC."""
    in_message = IN_MESSAGE[scenario]
    lots, now = random.Random(run), datetime.now(UTC)
    templates = []
    for member in world.members:
        bought = [
            purchase_pb2.PurchaseItem(
                sku=sku,
                name=name,
                category=category,
                unit_price_minor=cents,
                quantity=quantity,
                alcohol=alcohol,
            )
            for sku, name, category, cents, quantity, alcohol in lines(lots)
        ]
        one = purchase_pb2.RecordPurchaseRequest(
            member_code=member.code, receipt_number=_KEY.decode(), currency_code="USD", items=bought
        )
        one.sold_at.FromDatetime(now)
        templates.append(_split(purchase_pb2.StreamPurchasesRequest(purchases=[one]).SerializeToString()))
    lots.shuffle(templates)
    for number in itertools.count():
        # Messages of protobuf put together are one with the repeated fields of all.
        each = _endless(templates, f"{run}-{number}")
        yield map(b"".join, zip(*[each] * in_message, strict=False))


def receipt_of(member_code: str, number: str, now: str, lots: random.Random) -> dict[str, Any]:
    """Returns a receipt over REST."""
    bought = [
        item(sku, name, cents, quantity=quantity, alcohol=alcohol) | {"category": category}
        for sku, name, category, cents, quantity, alcohol in lines(lots)
    ]
    return receipt(member_code, number, now, *bought)


def _purchases(world: World, port: int, lots: random.Random) -> list[tuple[bytes, bytes]]:
    now = datetime.now(UTC).isoformat()
    templates = []
    for number, member in enumerate(world.members):
        body = orjson.dumps(receipt_of(member.code, _KEY.decode(), now, lots))
        head = _head("POST", "/v1/purchases", port, world.tills[number % len(world.tills)], body=body)
        templates.append(_split(head + body))
    return templates


def _batches(world: World, port: int, run: str, lots: random.Random) -> Iterator[bytes]:
    now = datetime.now(UTC).isoformat()
    members = lots.choices(world.members, k=BATCH_SIZE)
    purchases = [receipt_of(member.code, _KEY.decode(), now, lots) for member in members]
    body = orjson.dumps({"purchases": purchases})
    heads = [_head("POST", "/v1/purchases:batch", port, till, body=body) for till in world.tills]
    parts = body.split(_KEY)
    numbers = itertools.count()
    for head in itertools.cycle(heads):
        keys = [_key(run, next(numbers)) for _ in range(BATCH_SIZE)]
        yield head + b"".join(itertools.chain.from_iterable(zip(parts, keys, strict=False))) + parts[-1]


def _orders(world: World, port: int) -> list[tuple[bytes, bytes]]:
    body = orjson.dumps({"voucher_id": world.voucher_id})
    extra = b"idempotency-key: " + _KEY + b"\r\n"
    return [
        _split(_head("POST", "/v1/members/me/orders", port, member.token, extra=extra, body=body) + body)
        for member in world.members
    ]


def _baskets(world: World, port: int, lots: random.Random) -> list[tuple[bytes, bytes]]:
    templates = []
    for number in range(BASKETS):
        articles = lots.choices(_ARTICLES, k=BASKET_LINES)
        lines = [
            {"sku": sku, "category": category, "unit_price_minor": str(cents), "quantity": quantity}
            for sku, _, category, cents, quantity in articles
        ]
        codes = [code_text(2 * number), code_text(2 * number + 1)]
        body = orjson.dumps({"lines": lines, "currency_code": "USD", "codes": codes})
        till = world.tills[number % len(world.tills)]
        templates.append((_head("POST", "/v1/baskets:quote", port, till, body=body) + body, b""))
    return templates


def _claims(world: World, port: int, run: str, discounts: Sequence[str]) -> Iterator[bytes]:
    """All members claim one discount after the other, so that one is hot at any moment."""
    extra = b"idempotency-key: " + _KEY + b"\r\n"
    for number, (discount, member) in enumerate(itertools.product(discounts, world.members)):
        path = f"/v1/brands/{world.brand_id}/discounts/{discount}:claim"
        head = _head("POST", path, port, member.token, extra=extra, body=b"{}")
        yield head.replace(_KEY, _key(run, number)) + b"{}"


def _redemptions(world: World, port: int) -> list[tuple[bytes, bytes]]:
    templates = []
    for number in range(CODES):
        body = orjson.dumps({"code": code_text(number), "sale_reference": _KEY.decode(), "till_number": "1"})
        token = world.tills[number % len(world.tills)]
        templates.append(_split(_head("POST", "/v1/codes:redeem", port, token, body=body) + body))
    return templates


def _head(method: str, path: str, port: int, token: str, *, extra: bytes = b"", body: bytes = b"") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        f"authorization: Bearer {token}",
        "accept: application/json",
    ]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n" + extra + b"\r\n"


def _split(request: bytes) -> tuple[bytes, bytes]:
    """Returns what stands before and after the place of the key."""
    before, found, after = request.partition(_KEY)
    assert found
    return before, after
