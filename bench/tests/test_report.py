"""The table and the file have what was measured."""

import json
from pathlib import Path

import pytest

from bench.books import check_effects
from bench.children import BenchError
from bench.loader import Result
from bench.measure import Measured, Patience, Run
from bench.report import table, verdict, write
from bench.rig import EMPTY, PEER, SCRIP


def _run(per_second: float, *, strangers: float = 0.0, errors: int = 0) -> Run:
    counted = {"503": errors} if errors else {}
    result = Result(per_second, 10.0, 20.0, int(per_second), counted, [], 15.0)
    return Run(result, {"points": 300.0, "redis": 1.0, "postgres": 200.0}, strangers, 1.0)


def _found(scrip: float, empty: float, peer: float) -> dict[str, Measured]:
    return {
        target: Measured("RecordPurchase", target, 64, [_run(rate), _run(rate * 3), _run(rate / 2)])
        for target, rate in ((SCRIP, scrip), (EMPTY, empty), (PEER, peer))
    }


def test_figures_are_medians_and_ratios_are_of_scrip_to_the_peer(tmp_path: Path) -> None:
    write(tmp_path / "bench.json", [_found(2_000, 8_000, 400)], [{"scenario": "LogIn"}], {"machine": "m"})
    entry, other = json.loads((tmp_path / "bench.json").read_text())
    assert {"scenario", "clients", "per_second", "p50_ms", "p99_ms", "errors", "vs"} <= entry.keys()
    assert entry["per_second"] == 2_000
    assert entry["vs"] == {EMPTY: 0.25, PEER: 5.0}
    assert entry["cpu_us_per_request"]["points"] == 300
    assert other == {"scenario": "LogIn", "about": {"machine": "m"}}


def test_the_verdict_says_when_a_target_is_missed() -> None:
    assert "MISSES" not in verdict([_found(2_400, 8_000, 400)])
    said = verdict([_found(4_000, 8_000, 500)])
    assert "8.00 times FastAPI + async ORM (reaches 5, not the aim of 10)" in said
    assert "0.50 times empty RPC, same edge (reaches the aim of 0.5)" in said
    assert "MISSES 5" in verdict([_found(1_560, 8_000, 400)])


def test_the_table_tells_processes_that_did_little_together() -> None:
    printed = table([_found(2_000, 8_000, 400)])
    assert "501: points 300, postgres 200, others 1" in printed
    assert "redis" not in printed


def test_a_disturbed_measurement_is_repeated_while_there_is_patience() -> None:
    runs = iter([_run(1, strangers=0.9), _run(2, strangers=0.5), _run(3, strangers=0.1), _run(4)])
    assert (
        Patience(1_000, lambda _: 0.0).undisturbed(lambda: next(runs), lambda _: None).result.per_second == 3
    )
    runs = iter([_run(1, strangers=0.9), _run(2)])
    assert Patience(0, lambda _: 0.9).undisturbed(lambda: next(runs), lambda _: None).result.per_second == 1


def test_an_effect_too_few_or_too_many_is_not_accepted() -> None:
    check_effects({"receipts": 5}, {"receipts": 15}, 10, 0)
    check_effects({"receipts": 5}, {"receipts": 15}, 8, 2)
    for then in (14, 16):
        with pytest.raises(BenchError):
            check_effects({"receipts": 5}, {"receipts": then}, 10, 0)
