"""The table for people, and build/bench.json for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measure import Measured
from bench.rig import ALONE, EMPTY, NAMES, PEER, SCRIP, SPREAD
from bench.wire import (
    BATCH,
    CLAIM_CODE,
    GET_BALANCE,
    GET_OFFER,
    HOT_MEMBER,
    LIST_OFFERS,
    QUOTE_BASKET,
    RECORD_PURCHASE,
    REDEEM_CODE,
    STREAM,
    STREAM_OF_ONES,
    WITHOUT_REDIS,
)

TARGETS = {
    RECORD_PURCHASE: {PEER: (5.0, 10.0), EMPTY: (0.3, 0.5)},
    HOT_MEMBER: {SPREAD: (0.5, 1.0)},
    BATCH: {ALONE: (0.35, 0.6)},
    STREAM: {ALONE: (0.35, 0.6)},
    STREAM_OF_ONES: {ALONE: (0.35, 0.6)},
    GET_BALANCE: {EMPTY: (0.5, 0.75)},
    WITHOUT_REDIS: {EMPTY: (0.3, 0.5)},
    QUOTE_BASKET: {EMPTY: (0.35, 0.5)},
    CLAIM_CODE: {PEER: (4.0, 6.0)},
    REDEEM_CODE: {EMPTY: (0.2, 0.3)},
    LIST_OFFERS: {EMPTY: (0.3, 0.6)},
    GET_OFFER: {EMPTY: (0.6, 0.8)},
}
"""How many times what another does Scrip must do, and would like to."""
WORTH_TELLING = 0.02
"""Processes that use less of a request's CPU time than this part are reported together."""

Found = Mapping[str, Measured]


def table(measured: Sequence[Found]) -> str:
    """Returns all scenarios, each beside its peers, with the CPU that a request costs in each process."""
    header = (
        f"{'':24}{'per s':>8}{'Scrip is':>10}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}   CPU per request, us"
    )
    lines = []
    for found in measured:
        scrip = found[SCRIP]
        lines += ["", f"{scrip.scenario}, {scrip.clients} clients", header]
        for target, one in found.items():
            ratio = "" if target == SCRIP else f"{_ratio(found, target):.2f} x"
            lines.append(
                f"  {NAMES[target]:22}{one.per_second:>8,.0f}{ratio:>10}{one.p50_ms:>9.1f}{one.p99_ms:>9.1f}"
                f"{one.errors:>8}   {_cpu(one)}"
            )
    return "\n".join(lines)


def verdict(measured: Sequence[Found]) -> str:
    """Returns where Scrip stands against what it must reach."""
    return "\n".join(
        f"{found[SCRIP].scenario}, {found[SCRIP].clients} clients: {_ratio(found, target):.2f} times"
        f" {NAMES[target]} ({_reached(_ratio(found, target), least, aim)})"
        for found in measured
        for target, (least, aim) in TARGETS.get(found[SCRIP].scenario, {}).items()
    )


def write(
    path: Path, measured: Sequence[Found], others: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
) -> None:
    """Writes one entry for each scenario and number of clients, and the others."""
    entries = []
    for found in measured:
        peers = {target: _entry(one) for target, one in found.items() if target != SCRIP}
        ratios = {target: round(_ratio(found, target), 3) for target in peers}
        entries.append(_entry(found[SCRIP]) | {"vs": ratios, "peers": peers, "about": dict(about)})
    entries += [{**entry, "about": dict(about)} for entry in others]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries, indent=2) + "\n")


def machine() -> str:
    """Returns the machine in a few words."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    model = models[0] if models else platform.machine()
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"


def _entry(one: Measured) -> dict[str, Any]:
    return {
        "scenario": one.scenario,
        "clients": one.clients,
        "per_second": round(one.per_second, 1),
        "p50_ms": round(one.p50_ms, 2),
        "p99_ms": round(one.p99_ms, 2),
        "errors": one.errors,
        "cpu_us_per_request": {name: round(us, 1) for name, us in one.cpu_us.items()},
        "runs_per_second": [round(run.result.per_second, 1) for run in one.runs],
        "strangers_cores": round(one.strangers, 2),
    }


def _ratio(found: Found, target: str) -> float:
    """Returns how many times as much Scrip does."""
    return found[SCRIP].per_second / max(found[target].per_second, 1e-9)


def _cpu(one: Measured) -> str:
    total = sum(one.cpu_us.values())
    worth = {name: us for name, us in one.cpu_us.items() if us >= WORTH_TELLING * total}
    each = [f"{name} {us:,.0f}" for name, us in worth.items()]
    return f"{total:,.0f}: {', '.join([*each, f'others {total - sum(worth.values()):,.0f}'])}"


def _reached(value: float, least: float, aim: float) -> str:
    if value >= aim:
        return f"reaches the aim of {aim:g}"
    return f"reaches {least:g}, not the aim of {aim:g}" if value >= least else f"MISSES {least:g}"
