"""A promos service that kills itself before the statement of one's choice; see `tests/dying.py`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from services.common.webhooks.dispatcher import Dispatcher
from services.common.webhooks.http_sender import Outcome
from services.promos import jobs
from services.promos.codes.commands.code_sets import MAKE_JOB
from services.promos.parts import build
from services.promos.server import compose
from services.promos.settings import Settings
from tests.dying import Begun, serve


class _Receiver:
    """Takes everything."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Takes it."""
        return Outcome(status=204)


def _last(end: int) -> int:
    return end - 1


@asynccontextmanager
async def _begin() -> AsyncIterator[Begun]:
    # Codes are looked for from a random point on, and from the first one if that did not do. Now it never
    # does, so that a write has as many statements each time.
    random.randrange = _last  # type: ignore[assignment]  # the process ends with the test
    settings = Settings().model_copy(update={"listen": "127.0.0.1:0"})  # type: ignore[call-arg]  # environment
    async with build(settings) as parts, compose(settings) as service:
        payloads = jobs.payloads(parts.db, parts.peers)
        dispatcher = Dispatcher(parts.db, _Receiver(), parts.sealer, payloads)

        async def deliver(_: object) -> None:
            await dispatcher.send_due()
            await asyncio.gather(*dispatcher._tasks)

        make = jobs.tasks(parts.db, parts.peers)[MAKE_JOB]
        yield Begun(service, settings, {"make": make, "deliver": deliver})


if __name__ == "__main__":
    serve(_begin)
