"""A long trial by hand: `make try-openapi`, with other calls by ARGS="<how many> <seed>"."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from stack import sample
from tests.openapi.trial import Trial
from tests.platform import start_platform
from tools.docs import LARGE

CALLS, STEP = 10_000, 500


def main(calls: int, number: int) -> int:
    """Prints what came of so many calls; returns 1 when anything was wrong. Each `number` makes others up."""
    document = json.loads(LARGE["openapi.json"].read_text())
    with tempfile.TemporaryDirectory() as folder:
        stack = start_platform(Path(folder))
        try:
            points = stack.endpoints
            asyncio.run(sample.load(points.edge_url, points.admin_user_name, points.admin_password))
            started = time.monotonic()
            trial = Trial(document, stack, number=number)
            outcome = trial.outcome
            for so_far in [*range(STEP, calls, STEP), calls]:
                trial.run(so_far)
                print(f"{so_far} calls, {len(outcome.failures)} kinds of failure", flush=True)
            trial.close()
        finally:
            stack.stop()
    for key, said in sorted(outcome.failures.items()):
        print(f"--- {key}\n{said}\n")
    seconds = time.monotonic() - started
    print(f"{outcome.calls} calls in {seconds:.0f} s, {len(outcome.failures)} kinds of failure")
    print(f"statuses: {dict(sorted(outcome.statuses.items()))}")
    print(f"{len(outcome.succeeded)} of {len(trial.operations)} operations took a call; not:")
    print(", ".join(sorted({each.label for each in trial.operations} - outcome.succeeded)))
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    chosen = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(chosen[0] if chosen else CALLS, chosen[1] if len(chosen) > 1 else 1))
