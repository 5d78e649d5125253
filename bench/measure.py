"""Measures a scenario: everything in turns, so that what comes and goes on the machine meets all alike."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from statistics import median

from bench import books
from bench.children import BenchError
from bench.cpu import snapshot
from bench.loader import ANSWER_SECONDS, Plan, Result
from bench.rig import ALONE, BENCH, EMPTY, PEER, SCRIP, SPREAD, Rig
from bench.wire import (
    BATCH,
    BATCH_SIZE,
    CLAIM_CODE,
    GET_BALANCE,
    GET_OFFER,
    HOT_MEMBER,
    IN_MESSAGE,
    LIST_OFFERS,
    QUOTE_BASKET,
    RECORD_PURCHASE,
    WITHOUT_REDIS,
)
from stack.settings import ROOT

Say = Callable[[str], None]

DISTURBED = 0.2
"""Cores that strangers may use during a measurement; beyond that it is repeated."""
REPEATS = 3
LOOK_SECONDS = 0.5

TARGETS = {
    HOT_MEMBER: (SCRIP, SPREAD),
    BATCH: (SCRIP, ALONE),
    **dict.fromkeys(IN_MESSAGE, (SCRIP, ALONE)),
    WITHOUT_REDIS: (SCRIP, EMPTY),
    QUOTE_BASKET: (SCRIP, EMPTY),
    LIST_OFFERS: (SCRIP, EMPTY),
    GET_OFFER: (SCRIP, EMPTY),
}
"""What is measured of a scenario; of the others Scrip, the empty RPC and the peer."""
AT_VOLUME = 4
"""Clients of batches and streams, each of which has a thousand receipts under way."""
_SENT = {EMPTY: GET_BALANCE, SPREAD: RECORD_PURCHASE, ALONE: BATCH}
"""What is sent to a target, whatever the scenario."""


@dataclass(frozen=True)
class Run:
    """One measurement."""

    result: Result
    cpu_us: Mapping[str, float]
    """CPU time per request by process, in microseconds."""
    strangers: float
    """Cores in use by what is no part of the benchmark."""
    load: float
    """The machine's load average of one minute, afterwards; the benchmark's own part is in it."""


@dataclass
class Measured:
    """All measurements of one scenario against one target with so many clients; figures are medians."""

    scenario: str
    target: str
    clients: int
    runs: list[Run] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Good responses a second."""
        return median(run.result.per_second for run in self.runs)

    @property
    def p50_ms(self) -> float:
        """Half of the responses came within."""
        return median(run.result.p50_ms for run in self.runs)

    @property
    def p99_ms(self) -> float:
        """99 of 100 responses came within."""
        return median(run.result.p99_ms for run in self.runs)

    @property
    def errors(self) -> int:
        """Requests without a good response, in all runs."""
        return sum(sum(run.result.errors.values()) for run in self.runs)

    @property
    def cpu_us(self) -> dict[str, float]:
        """CPU time per request by process, in microseconds, the largest first."""
        found = {name: median(run.cpu_us[name] for run in self.runs) for name in self.runs[0].cpu_us}
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    @property
    def strangers(self) -> float:
        """Cores that others used, in the worst run."""
        return max(run.strangers for run in self.runs)


@dataclass(frozen=True)
class Effort:
    """How long to measure, and how often."""

    rounds: int
    warm_up: float
    seconds: float


@dataclass
class Patience:
    """How long to wait for others on the machine, in seconds, in all."""

    seconds: float
    look: Callable[[float], float]
    """Looks for so many seconds how many cores others use."""

    def await_calm(self) -> None:
        """Waits until others leave the cores alone, while there is patience."""
        while self.seconds > 0 and self.look(LOOK_SECONDS) > DISTURBED:
            self.seconds -= LOOK_SECONDS

    def undisturbed(self, run: Callable[[], Run], say: Say) -> Run:
        """Returns the first measurement that nobody disturbed, or the least disturbed of some."""
        tried: list[Run] = []
        while not tried or (tried[-1].strangers > DISTURBED and len(tried) <= REPEATS and self.seconds > 0):
            if tried:
                say(f"  again, for others used {tried[-1].strangers:.2f} cores")
            self.await_calm()
            began = time.monotonic()
            tried.append(run())
            self.seconds -= time.monotonic() - began if len(tried) > 1 else 0.0
        return min(tried, key=lambda found: found.strangers)


def measure(
    rig: Rig, scenario: str, clients: int, *, effort: Effort, patience: Patience, say: Say
) -> dict[str, Measured]:
    """Measures Scrip and both peers by a scenario, in turns. Raises BenchError when an effect is missing."""
    clients = AT_VOLUME if scenario in (BATCH, *IN_MESSAGE) else clients
    targets = TARGETS.get(scenario, (SCRIP, EMPTY, PEER))
    found = {target: Measured(scenario, target, clients) for target in targets}
    for number in range(effort.rounds):
        for target, measured in found.items():
            run = patience.undisturbed(partial(_run, rig, scenario, target, clients, effort), say)
            measured.runs.append(run)
            say(
                f"{scenario}, {clients} clients, round {number + 1}: {target} {run.result.per_second:,.0f}/s"
                f" (strangers {run.strangers:.2f} cores, load {run.load:.1f})"
            )
            for sample in run.result.samples:
                say(f"  {sample}")
    return found


def _run(rig: Rig, scenario: str, target: str, clients: int, effort: Effort) -> Run:
    paused = scenario == WITHOUT_REDIS and target == SCRIP
    sent = _SENT.get(target, GET_BALANCE if scenario == WITHOUT_REDIS else scenario)
    plan = Plan(
        world=str(rig.world_file),
        scenario=sent,
        port=rig.ports.get(target, rig.ports[SCRIP]),
        run=secrets.token_hex(4),
        clients=clients,
        warm_up=effort.warm_up,
        seconds=effort.seconds,
        database=rig.databases[ALONE],
        turn=next(rig.turns[target]) if sent == CLAIM_CODE else 0,
    )
    counted = books.count(rig.databases, target, scenario)
    before = snapshot(rig.pids)
    began = time.monotonic()
    if paused:
        os.kill(rig.pids["redis"], signal.SIGSTOP)
    try:
        result = load(plan, _LOADERS.get(target, "bench.streams" if sent in IN_MESSAGE else "bench.loader"))
    finally:
        if paused:
            os.kill(rig.pids["redis"], signal.SIGCONT)
    lasted = time.monotonic() - began
    if sent == BATCH:
        result = _of_receipts(result)
    used = snapshot(rig.pids).since(before)
    errors = sum(result.errors.values())
    books.check_effects(counted, books.count(rig.databases, target, scenario), result.answered, errors)
    requests = max(1, result.answered + errors)
    cpu_us = {name: seconds / requests * 1e6 for name, seconds in used.processes.items() if name != BENCH}
    cpu_us["load generator"] = result.loader_cpu_us
    return Run(result, cpu_us, used.strangers / lasted, os.getloadavg()[0])


_LOADERS = {ALONE: "bench.alone"}


def _of_receipts(result: Result) -> Result:
    """Returns the same result with receipts for batches."""
    return replace(
        result,
        per_second=result.per_second * BATCH_SIZE,
        answered=result.answered * BATCH_SIZE,
        errors={kind: count * BATCH_SIZE for kind, count in result.errors.items()},
        loader_cpu_us=result.loader_cpu_us / BATCH_SIZE,
    )


def load(plan: Plan, loader: str) -> Result:
    """Returns the result of a load generator in a process of its own. Raises BenchError with its output."""
    command = [sys.executable, "-m", loader]
    finished = subprocess.run(
        command,
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=plan.warm_up + plan.seconds + 3 * ANSWER_SECONDS,
        check=False,
    )
    if finished.returncode != 0:
        raise BenchError(f"the load generator failed:\n{finished.stderr.strip()}")
    return Result(**json.loads(finished.stdout))


def worst(found: Iterable[Measured]) -> float:
    """Cores that others used in the worst of all runs."""
    return max((measured.strangers for measured in found), default=0.0)
