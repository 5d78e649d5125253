"""Each feature is a package with a face; each table has one owner; no service loads what it does not run."""

from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from stack.settings import ROOT
from tests.contract import rooms
from tests.contract.rooms import SERVICES

WRITTEN_TOGETHER = {
    "services/points/purchases/statements.py": "a batch of purchases is one statement instead of six",
    "services/promos/claims/statements.py": "a code is given exactly when its claim is made",
    "services/vouchers/orders/statements.py": "an order exists exactly when its stock is taken",
    "services/identity/members/statements.py": "a member and its account are made and changed as one",
    "services/identity/staff/statements.py": "staff and their account are made and changed as one",
    "services/identity/events/commands.py": "the member's row counts its events, without gaps",
}
"""Modules whose statements write tables of several features at once, and why."""

_DETAILS = "services/points/purchase_details/queries.py"
READ_ELSEWHERE = {
    ("services/identity/members/queries.py", "accounts"): "a search by any of a member's names",
    (
        "services/identity/sessions/queries.py",
        "clients",
    ): "tokens of people and tills are checked in one trip",
    (
        "services/points/purchases/statements.py",
        "member_codes",
    ): "a receipt finds its member in one trip",
    (
        "services/vouchers/catalogue/exchange.py",
        "voucher_members",
    ): "what a member may still order is told beside what is on sale",
    **{
        (_DETAILS, table): "a purchase is read with its lines and refunds in one trip"
        for table in ("purchase_items", "purchases", "receipts", "refunds", "unclaimed_purchases")
    },
}
"""Tables that a feature reads though another owns them, and why. The books may read all: they compare."""


def test_a_feature_is_imported_by_its_face_alone() -> None:
    inside = [str(one) for one in rooms.imports() if one.module != one.other.package and not one.of_encoding]
    assert inside == []


@pytest.mark.parametrize("service", SERVICES)
def test_features_do_not_import_each_other_in_circles(service: str) -> None:
    graph: dict[str, set[str]] = {}
    for one in rooms.imports():
        if one.room.service == service:
            graph.setdefault(one.room.name, set()).add(one.other.name)
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


@pytest.mark.parametrize("service", SERVICES)
def test_every_feature_says_what_it_is(service: str) -> None:
    for room in rooms.rooms():
        text = (room.folder / "__init__.py").read_text()
        assert text.startswith('"""'), room.package


@pytest.mark.parametrize("service", SERVICES)
def test_a_table_is_written_by_its_owner_alone_or_the_reason_is_listed(service: str) -> None:
    namings = [one for one in rooms.foreign_tables(service) if one.owner != "common" and one.room != "books"]
    assert sorted({one.path for one in namings if one.writes} - WRITTEN_TOGETHER.keys()) == []
    reads = {(one.path, one.table) for one in namings if not one.writes}
    assert sorted(reads - READ_ELSEWHERE.keys()) == []


def test_what_is_listed_is_there() -> None:
    namings = [one for service in SERVICES for one in rooms.foreign_tables(service)]
    assert WRITTEN_TOGETHER.keys() <= {one.path for one in namings if one.writes}
    assert READ_ELSEWHERE.keys() <= {(one.path, one.table) for one in namings}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("process", "never"),
    [
        ("server", {"sqlalchemy", "alembic", "procrastinate", "httpcore"}),
        ("worker", {"sqlalchemy", "alembic"}),
    ],
)
def test_no_process_loads_what_it_does_not_run(service: str, process: str, never: set[str]) -> None:
    shown = (
        "import services.common.process, sys;"
        f" import services.{service}.{process}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    )
    run = subprocess.run(
        [sys.executable, "-c", shown],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT}/build/gen"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert never & set(run.stdout.split()) == set()
