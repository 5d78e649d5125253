"""What the platform does is what its document says, for calls that are made up from the document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from stack import sample
from stack.testing import RunningStack
from tests import invariants
from tests.openapi.trial import Trial
from tests.platform import eventually, start_platform
from tools.docs import LARGE

SETTLE_SECONDS = 60.0


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack of its own, for made-up calls leave nothing as it was."""
    running = start_platform(tmp_path_factory.mktemp("openapi"))
    yield running
    assert running.stop() == 0


@pytest.mark.covers("E1")
@pytest.mark.timeout(300)
async def test_made_up_calls_get_what_the_document_says(stack: RunningStack) -> None:
    """One call to each operation; `make try-openapi` makes many."""
    reached = stack.endpoints
    await sample.load(reached.edge_url, reached.admin_user_name, reached.admin_password)
    trial = Trial(json.loads(LARGE["openapi.json"].read_text()), stack, number=1)
    outcome = await asyncio.to_thread(trial.run, len(trial.operations))
    trial.close()
    assert outcome.failures == {}
    assert len(outcome.succeeded) > 80

    async def books_agree() -> None:
        invariants.check(reached.databases)

    await eventually(books_agree, SETTLE_SECONDS)
