"""Kinds of entries: as code, database and contract have them."""

from __future__ import annotations

import re

from scrip.points.v1 import points_pb2
from sqlalchemy import CheckConstraint

from services.common.ids import utc_now
from services.common.tables import load_tables
from services.points.ledger import EntryKind, LedgerEntry, encoding
from services.points.ledger.entries import OfPurchase


def test_code_and_database_know_the_same_kinds() -> None:
    checks = [
        one
        for one in load_tables("points").tables["ledger_entries"].constraints
        if isinstance(one, CheckConstraint)
    ]
    [known] = [str(one.sqltext) for one in checks if "kind IN" in str(one.sqltext)]
    assert set(re.findall(r"'(\w+)'", known)) == {kind.value for kind in EntryKind}


def test_every_kind_of_the_contract_is_shown_and_filtered_by() -> None:
    found = set()
    for kind in EntryKind:
        shown = encoding.entry(LedgerEntry(1, kind, 5, 5, OfPurchase("x"), utc_now(), 0, None)).kind
        assert encoding.kind_filter(shown) is kind
        found.add(shown)
    assert found | {points_pb2.ENTRY_KIND_UNSPECIFIED} == set(points_pb2.EntryKind.values())
    assert encoding.kind_filter(points_pb2.ENTRY_KIND_UNSPECIFIED) is None
