"""Does the jobs that `jobs.defer` queued, and a service's chores beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import psycopg
from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job

from services.common.housekeeping import end, failure
from services.common.ids import utc_now
from services.common.jobs import DEFAULT_QUEUE, Task

log = logging.getLogger(__name__)

_MAX_WAIT_SECONDS = 30
_GRACE_SECONDS = 5.0
_SILENT_SECONDS = 10
"""A worker that did not report for so long is taken for dead, and its jobs are queued again."""


class _Forever(BaseRetryStrategy):
    """Retries after 1, 2, 4 … 30 s, without end."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        log.warning("job %s failed (attempt %d): %s", job.task_name, job.attempts + 1, exception)
        return RetryDecision(retry_in={"seconds": min(2**job.attempts, _MAX_WAIT_SECONDS)})


async def run_worker(
    database_url: str,
    tasks: Mapping[str, Task],
    stop: asyncio.Event,
    *,
    queues: Mapping[str, int] | None = None,
    loops: Sequence[Callable[[], Awaitable[None]]] = (),
) -> None:
    """Does jobs until `stop` is set; `loops` run beside them until then.

    `queues` sets how many jobs of each queue are done at a time. Jobs that wait for the outside have a
    queue of their own, so that they hold up nothing else.
    """
    queues = {DEFAULT_QUEUE: 10, **(queues or {})}
    connections = sum(queues.values()) + 3 * len(queues)
    connector = PsycopgConnector(conninfo=database_url, min_size=1, max_size=connections, timeout=5)
    app = App(connector=connector)
    for name, function in tasks.items():
        app.task(name=name, retry=_Forever())(function)
    async with app.open_async():
        await _requeue_stalled(app)
        beside = [asyncio.ensure_future(loop()) for loop in (lambda: _watch_stalled(app), *loops)]
        workers = [asyncio.create_task(_work_off(app, name, most)) for name, most in queues.items()]
        log.info("worker ready")
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([*workers, stopping, *beside], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for worker in workers:
            worker.cancel()
        await end(beside)
        await asyncio.wait(workers, timeout=_GRACE_SECONDS + 1)  # while their jobs finish or are aborted
        await end(workers)
        failed = failure([*workers, *beside])
        if failed:
            raise failed


async def _work_off(app: App, queue: str, concurrency: int) -> None:
    await app.run_worker_async(
        queues=[queue],
        concurrency=concurrency,
        install_signal_handlers=False,
        fetch_job_polling_interval=1.0,
        update_heartbeat_interval=2.0,
        stalled_worker_timeout=_SILENT_SECONDS,
        shutdown_graceful_timeout=_GRACE_SECONDS,
        delete_jobs="successful",
    )


async def _watch_stalled(app: App) -> None:
    while True:
        await asyncio.sleep(2)
        await _requeue_stalled(app)


async def _requeue_stalled(app: App) -> None:
    """Queues again what a dead worker had begun, and what a worker of an older version did not know."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=_SILENT_SECONDS):
        await _queue_again(app, job, utc_now())
    for job in await app.job_manager.list_jobs_async(status="failed"):
        await _queue_again(app, job, utc_now() + timedelta(seconds=_MAX_WAIT_SECONDS))


async def _queue_again(app: App, job: Job, at: datetime) -> None:
    try:
        await app.job_manager.retry_job(job, retry_at=at)
    except ConnectorException as error:
        if not isinstance(error.__cause__, psycopg.errors.RaiseException):
            raise
        return  # another worker was first
    log.warning("job %s that nobody finished is queued again", job.task_name)
