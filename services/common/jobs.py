"""Work that must happen later: written in the transaction that decides it, done by a worker (`worker.py`).

A job exists exactly when the effect that it belongs to was committed. It runs at least once, so what
it does must be idempotent. A job that fails is retried with backoff and never given up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from psycopg.types.json import Jsonb

from services.common.db import Connection, execute

Task = Callable[..., Awaitable[None]]

DEFAULT_QUEUE = "default"

# The library's own function, called here so that servers, which only queue jobs, do not import the library.
_DEFER = """
SELECT procrastinate_defer_jobs_v1(ARRAY[
  ROW(%(queue)s, %(name)s, 0, %(lock)s, NULL, %(arguments)s, NULL)::procrastinate_job_to_defer_v1
])
"""


async def defer(
    connection: Connection,
    name: str,
    *,
    lock: str | None = None,
    queue: str = DEFAULT_QUEUE,
    **arguments: str | int,
) -> None:
    """Queues a job in the transaction of `connection`.

    Jobs with the same `lock` run one after the other, in the order of their making.
    """
    await execute(connection, _DEFER, queue=queue, name=name, lock=lock, arguments=Jsonb(arguments))
