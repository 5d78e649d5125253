"""Does the jobs that `jobs.defer` queued, and a service's chores beside them.

Nothing here ends with one job, one chore or one queue. A database that is away is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import psycopg
from procrastinate import App, BaseRetryStrategy, JobContext, PsycopgConnector, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job

from services.common.errors import DomainError, described, is_away, unavailable
from services.common.housekeeping import Failures, end, keep_running, repeat
from services.common.ids import utc_now
from services.common.jobs import DEFAULT_QUEUE, Task
from services.common.set_aside import FORGET, JOB, KEEP_FAILED_JOB

log = logging.getLogger(__name__)

_MAX_WAIT_SECONDS = 30
_EARLY_TRIES = 15
"""With waits of up to 30 s, some six minutes: longer than a one-time password is worth sending."""
_LONGEST_WAIT_SECONDS = 900
"""After them, of a job that fails by a defect. It is not more: the next version may do it."""
_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 2.0
_CONNECT_SECONDS = 3
_SILENT_SECONDS = 10
"""A worker that did not report for so long is taken for dead, and its jobs are queued again."""


class _Forever(BaseRetryStrategy):
    """Retries after 1, 2, 4 … 30 s, without end; what fails by a defect after up to 15 minutes in the end."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        away = isinstance(exception, Exception) and is_away(exception)
        # Of anything but an outage, the traceback is all that tells the fault.
        log.warning(
            "job %s failed (attempt %d): %s",
            job.task_name,
            job.attempts + 1,
            exception,
            exc_info=None if away else exception,
        )
        wait, late = min(2 ** min(job.attempts, 10), _MAX_WAIT_SECONDS), job.attempts - _EARLY_TRIES
        if late >= 0 and not away:
            wait = min(2 * _MAX_WAIT_SECONDS * 2 ** min(late, 10), _LONGEST_WAIT_SECONDS)
        return RetryDecision(retry_in={"seconds": wait})


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
    _quiet_libraries()
    queues = {DEFAULT_QUEUE: 10, **(queues or {})}
    beside: list[asyncio.Future[None]] = [asyncio.ensure_future(keep_running(loop)) for loop in loops]
    stopping = asyncio.create_task(stop.wait())
    try:
        async with AsyncExitStack() as stack:
            opening = asyncio.create_task(_open(database_url, tasks, queues))
            await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
                await asyncio.wait([opening], timeout=_GRACE_SECONDS)
                return
            app = opening.result()
            stack.push_async_callback(app.close_async)
            requeue = partial(_requeue_stalled, app)
            beside.append(asyncio.ensure_future(repeat(_LOOK_SECONDS, requeue, name="stalled jobs")))
            workers = [
                asyncio.create_task(keep_running(partial(_work_off, app, name, most), name=f"queue {name}"))
                for name, most in queues.items()
            ]
            log.info("worker ready")
            await stopping
            for worker in workers:
                worker.cancel()
            await end(beside)
            await asyncio.wait(workers, timeout=_GRACE_SECONDS + 1)  # while their jobs finish or are aborted
            await end(workers)
    finally:
        stopping.cancel()
        await end(beside)


def _quiet_libraries() -> None:
    """Has the queue's library and its pool say nothing: at each try of an outage they say it is one."""
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


async def _open(database_url: str, tasks: Mapping[str, Task], queues: Mapping[str, int]) -> App:
    """Returns the job queue, as soon as its database can be reached."""
    failures = Failures("the job queue")
    while True:
        try:
            # It fails at once with what is wrong; the library's pool would wait for half a minute.
            connection = await psycopg.AsyncConnection.connect(database_url, connect_timeout=_CONNECT_SECONDS)
            await connection.close()
            break
        except psycopg.OperationalError:
            await asyncio.sleep(failures.note(unavailable("database")))
    failures.over()
    connector = PsycopgConnector(
        conninfo=database_url,
        min_size=1,
        max_size=sum(queues.values()) + 3 * len(queues),
        timeout=5,
        # Its waits between tries double without end: it must not still wait when the database is back.
        reconnect_timeout=5,
    )
    app = App(connector=connector)
    for name, function in tasks.items():
        app.task(name=name, retry=_Forever(), pass_context=True)(_noting(app, function))
    await app.open_async()
    return app


def _noting(app: App, function: Task) -> Callable[..., Awaitable[None]]:
    """Returns the task, which keeps for staff that a job fails by a defect, until it succeeds."""

    async def run(context: JobContext, **arguments: Any) -> None:
        job = context.job
        try:
            await function(**arguments)
        except Exception as error:
            if not is_away(error):
                with suppress(ConnectorException):  # it is tried again, and then fails again
                    await app.connector.execute_query_async(
                        KEEP_FAILED_JOB, id=str(job.id), error=f"{job.task_name}: {described(error)}"
                    )
            raise
        if job.attempts:
            await app.connector.execute_query_async(FORGET, kind=JOB, id=str(job.id))

    return run


async def _work_off(app: App, queue: str, concurrency: int) -> None:
    """Does the jobs of a queue until cancelled. Raises what ends it before, such as an outage."""
    try:
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
    except ConnectorException as error:
        raise _meaning(error) from error
    # The library ends it so when what it does beside failed, and the database is back by now.
    raise unavailable("database")


async def _requeue_stalled(app: App) -> None:
    """Queues again what a dead worker had begun, and what a worker of an older version did not know."""
    try:
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=_SILENT_SECONDS):
            await _queue_again(app, job, utc_now())
        for job in await app.job_manager.list_jobs_async(status="failed"):
            await _queue_again(app, job, utc_now() + timedelta(seconds=_MAX_WAIT_SECONDS))
    except ConnectorException as error:
        raise _meaning(error) from error


async def _queue_again(app: App, job: Job, at: datetime) -> None:
    try:
        await app.job_manager.retry_job(job, retry_at=at)
    except ConnectorException as error:
        if not isinstance(error.__cause__, psycopg.errors.RaiseException):
            raise
        return  # another worker was first
    log.warning("job %s that nobody finished is queued again", job.task_name)


def _meaning(error: ConnectorException) -> DomainError | ConnectorException:
    """Returns what a fault of the library's database means: that it is away, or the fault itself."""
    return unavailable("database") if isinstance(error.__cause__, psycopg.OperationalError) else error
