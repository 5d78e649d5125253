"""`docs/coverage.md` is made from the markers of the tests, and every RPC is proved by some test."""

from __future__ import annotations

from tests.contract.descriptors import rpcs
from tools import coverage


def test_the_document_is_what_the_markers_say() -> None:
    said = "run: .venv/bin/python -m tools.coverage"
    assert coverage.document() == coverage.DOCUMENT.read_text(), said


def test_every_rpc_of_the_contract_is_proved_by_a_test() -> None:
    proved = {mark.rpc for mark in coverage.marks()}
    assert {rpc.short_name for rpc in rpcs()} - proved == set()


def test_short_names_are_unambiguous() -> None:
    assert len({rpc.short_name for rpc in rpcs()}) == len(rpcs())


def test_every_capability_says_how_much_exists_and_what_exists_is_proved() -> None:
    proved = {mark.capability for mark in coverage.marks()}
    for name, told in coverage.capabilities().items():
        assert told["state"].startswith(("All of it", "In part: ", "Not yet.")), name
        if name in proved:
            assert not told["state"].startswith("Not yet."), name
        else:
            assert told["state"].startswith(("Not yet.", "In part: ")), name
