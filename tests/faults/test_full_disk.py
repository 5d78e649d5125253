"""A full disk: callers are told to come again, nothing is lost, and all is well when there is room."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests import invariants
from tests.faults.clients import Disturbed, answer
from tests.platform import Member, Platform, at_once, eventually, purchase, refusal, start_platform

DISK_MIB = 600
RECEIPTS, CENTS, POINTS = 30, 12_345, 12
BACK_SECONDS = 60.0


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk. Elsewhere `stack/tests/test_logs.py` shows what the supervisor does without room."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("nothing can be mounted here")
    if made.returncode != 0:
        pytest.skip("nothing can be mounted here")
    folder.chmod(0o755)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest_asyncio.fixture
async def small(disk: Path) -> AsyncIterator[Platform]:
    """A platform with all that it keeps on that disk."""
    stack = start_platform(disk)
    try:
        async with Platform(stack) as live:
            yield live
    finally:
        (disk / "filler").unlink(missing_ok=True)
        assert stack.stop() == 0


def fill(disk: Path) -> None:
    """Takes all the room that is left."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        for size in (1 << 20, 1):
            try:
                while True:
                    filler.write(b"\1" * size)
            except OSError:
                continue


@pytest.mark.timeout(300)
async def test_callers_are_told_to_come_again_nothing_is_lost_and_it_comes_back(
    small: Platform, disk: Path
) -> None:
    till, member = await small.till(), await small.member()
    await small.give(till, member, 1)
    receipts = [purchase(member, CENTS) for _ in range(RECEIPTS)]
    send = partial(small.call, "POST", "/v1/purchases", token=till)
    await at_once([send(receipt) for receipt in receipts[: RECEIPTS // 3]])
    fill(disk)

    async def refused() -> None:
        # What is large needs room at once; a small one may find some in what PostgreSQL has allocated.
        for _ in range(20):
            got = await send(_large(member))
            if got.status_code != 200:
                told = refusal(got)
                assert (told.status, told.reason) == (503, "DEPENDENCY_UNAVAILABLE"), told
                return
        raise AssertionError("there is still room")

    await eventually(refused, BACK_SECONDS)
    await at_once([send(receipt) for receipt in receipts[RECEIPTS // 3 :]])
    supervisor = small.stack.supervisor
    assert supervisor.poll() is None
    (disk / "filler").unlink()

    async def well() -> None:
        assert (await send(_large(member))).status_code == 200

    await eventually(well, BACK_SECONDS)
    seen = Disturbed()
    for receipt in receipts:
        got = await answer(small, partial(send, receipt), seen)
        assert got.status_code == 200, got.text
    assert supervisor.poll() is None
    printed = (small.stack.folder.path / "output.txt").read_text(errors="replace")
    assert "Traceback" not in printed
    assert printed.count("logs can not be written") <= 1
    rows = invariants.rows(small.databases["points"], "SELECT receipt_number FROM purchases")
    kept = Counter(row["receipt_number"] for row in rows)
    assert [kept[receipt["receipt_number"]] for receipt in receipts] == [1] * RECEIPTS
    invariants.check(small.databases)


def _large(member: Member) -> dict[str, object]:
    """Returns a new receipt with as many lines as one may have."""
    receipt = purchase(member, 0)
    [line] = receipt["items"]
    receipt["items"] = [dict(line, sku=f"{number}", name="Bicycle " * 10) for number in range(200)]
    return receipt
