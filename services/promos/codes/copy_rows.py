"""Rows of new codes as COPY reads them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import UUID

from services.promos.codes.random_codes import random_lines

COLUMNS = "id, code_set_id, shuffle, state, uses_allowed, code"
_HEX = "0123456789abcdef"


def rows_of(codes: Sequence[str], code_set_id: UUID, *, state: str, uses_allowed: int) -> bytes:
    """Returns the rows of codes of one length, with ids that are UUIDv7 as those of `new_id` are.

    All are of one width, and made as `random_lines` makes codes. The ids are in no order within the batch, so
    that they tell nothing of the codes. Codes that are READY are spread over the stock; no other is in it.
    """
    moment = f"{time.time_ns() // 1_000_000:012x}"
    code_id = (*moment, "7", *(_HEX,) * 3, "89ab", *(_HEX,) * 15)
    shuffle = ("0", "x", "01234567", *(_HEX,) * 7) if state == "READY" else ("0",)
    before = (*code_id, *f"\t{code_set_id}\t", *shuffle, *f"\t{state}\t{uses_allowed}\t")
    length, width = len(codes[0]), len(before) + len(codes[0]) + 1
    rows = random_lines(len(codes), (*before, *" " * length, "\n"))
    text = "".join(codes).encode()
    assert len(text) == len(codes) * length, "the codes are of one length"
    for place in range(length):
        rows[len(before) + place :: width] = text[place::length]
    return bytes(rows)
