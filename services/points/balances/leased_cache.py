"""A cache in Redis that is filled by those who read and voided by those who write. No clock decides."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import cast

from services.common.cache import Redis, RedisAwayError

log = logging.getLogger(__name__)

Load = Callable[[list[str]], Awaitable[Sequence[str]]]
"""Reads the values of keys, in their order, from where they are decided. What it reads must be committed."""

VALUE_SECONDS = 60
LEASE_SECONDS = 5
_EPOCH_SECONDS = 86_400
_AGAIN_SECONDS = 0.2

# Under a key stands `epoch:=value` or `epoch:?lease`. When the epoch is missing, because of a flush or an
# eviction, one begins under a name that was never used, so nothing that was kept before is believed again.
_READ = """
local epoch = redis.call('GET', KEYS[1])
if not epoch then
  epoch = ARGV[1]
  redis.call('SET', KEYS[1], epoch, 'EX', ARGV[2])
end
local value, lease, found = epoch .. ':=', epoch .. ':?', {}
for i = 2, #KEYS do
  local held = redis.call('GET', KEYS[i])
  local kind = held and string.sub(held, 1, #value)
  if kind == value then
    found[i - 1] = string.sub(held, #value + 1)
  elseif kind == lease then
    found[i - 1] = 0
  else
    redis.call('SET', KEYS[i], lease .. ARGV[1], 'EX', ARGV[3])
    found[i - 1] = 1
  end
end
return found
"""
_FILL = """
for i = 1, #KEYS do
  local held = redis.call('GET', KEYS[i])
  local epoch, lease = string.match(held or '', '^([^:]*):%?(.*)$')
  if lease == ARGV[1] then
    redis.call('SET', KEYS[i], epoch .. ':=' .. ARGV[2 + i], 'EX', ARGV[2])
  end
end
"""
_LEASED = 1


class LeasedCache:
    """Values that are read often and decided elsewhere: by a database.

    A reader that finds no value takes a lease, reads the database, and fills the value in if its lease is
    still there. A writer that committed a change calls `void`, which removes value and lease, before it
    reports the change. So what was read before a change is never kept after it. A reader that finds another's
    lease reads the database too, and fills nothing. All keys name the run of the Redis server: what was there
    before a restart, or comes out of a snapshot, is not looked at.

    A process that could not void something believes nothing until it has begun a new epoch. Values of older
    epochs are believed by nobody.

    What can be read that is older than a change:
    - after the change was reported, in the process that made it: nothing;
    - in another process: when the void failed, until Redis replies to the process that made the change;
    - anywhere: when that process was killed, or the call was cancelled, after COMMIT was sent and before
      Redis took note. That ends with the value, after 60 s, or with the next change.
    """

    def __init__(self, server: Redis, prefix: str, *, seconds: int = VALUE_SECONDS) -> None:
        self._server = server
        self._prefix = prefix
        self._seconds = seconds
        self._read = server.client.register_script(_READ)  # loaded on first use
        self._fill = server.client.register_script(_FILL)
        self._failed_voids = 0
        self._in_doubt = False
        self._beginning: asyncio.Task[None] | None = None

    async def get_all(self, keys: Sequence[str], load: Load) -> list[str]:
        """Returns the value of each key; `load` is called at most once, for those that are not here."""
        lease = secrets.token_urlsafe(12)
        found = await self._look(keys, lease)
        missing = [key for key, value in zip(keys, found, strict=True) if not isinstance(value, bytes)]
        if not missing:
            return [value.decode() for value in found if isinstance(value, bytes)]
        loaded = dict(zip(missing, await load(missing), strict=True))
        leased = [key for key, value in zip(keys, found, strict=True) if value == _LEASED]
        if leased:
            await self._keep(lease, [(key, loaded[key]) for key in leased])
        return [
            value.decode() if isinstance(value, bytes) else loaded[key]
            for key, value in zip(keys, found, strict=True)
        ]

    async def void(self, keys: Iterable[str]) -> None:
        """Removes values and leases: after the commit, and before any response shows the change."""
        wanted = list(keys)
        if not wanted:
            return

        async def remove(run_id: str) -> None:
            await self._server.client.unlink(*self._names(run_id, wanted))

        try:
            await self._server.call_in_run(remove)
        except RedisAwayError:
            self._doubt()
        except BaseException:  # the call was cancelled: whether Redis got it is not known
            self._doubt()
            raise

    async def held(self, keys: Sequence[str]) -> dict[str, str]:
        """Returns the values that Redis holds for these keys and that can be believed.

        Raises RedisAwayError when Redis does not reply.
        """
        return {key: value.decode() for key, value in (await self._held(keys)).items()}

    async def _held(self, keys: Sequence[str]) -> dict[str, bytes]:
        async def read(run_id: str) -> list[bytes | None]:
            names = [self._epoch_name(run_id), *self._names(run_id, keys)]
            return [cast("bytes | None", value) for value in await self._server.client.mget(names)]

        epoch, *found = await self._server.call_in_run(read)
        mark = (epoch or b"") + b":="
        held = zip(keys, found, strict=True)
        if epoch is None:
            return {}
        return {key: value[len(mark) :] for key, value in held if value and value.startswith(mark)}

    async def _look(self, keys: Sequence[str], lease: str) -> Sequence[bytes | int]:
        """Returns for each key its value, or whether it has been leased."""
        if self._in_doubt:
            return [0] * len(keys)

        async def take_leases(run_id: str) -> Sequence[bytes | int]:
            names = [self._epoch_name(run_id), *self._names(run_id, missing)]
            found: Sequence[bytes | int] = await self._read(
                keys=names, args=[lease, _EPOCH_SECONDS, LEASE_SECONDS]
            )
            return found

        try:
            known = await self._held(keys)  # without a script, which costs more, and is seldom needed
            missing = [key for key in keys if key not in known]
            if not missing:
                return [known[key] for key in keys]
            leased = dict(zip(missing, await self._server.call_in_run(take_leases), strict=True))
        except RedisAwayError:
            return [0] * len(keys)
        return [known[key] if key in known else leased[key] for key in keys]

    async def _keep(self, lease: str, values: Sequence[tuple[str, str]]) -> None:
        async def fill(run_id: str) -> None:
            names = self._names(run_id, [key for key, _ in values])
            await self._fill(keys=names, args=[lease, self._seconds, *(value for _, value in values)])

        try:
            await self._server.call_in_run(fill)
        except RedisAwayError:
            return

    def _doubt(self) -> None:
        self._failed_voids += 1
        self._in_doubt = True
        if self._beginning is None or self._beginning.done():
            self._beginning = asyncio.create_task(self._begin_epoch())

    async def _begin_epoch(self) -> None:
        """Returns when Redis took note of a new epoch, begun after the last void that failed."""

        async def begin(run_id: str) -> None:
            name = secrets.token_urlsafe(12)  # never one that was used: this may arrive late
            await self._server.client.set(self._epoch_name(run_id), name, ex=_EPOCH_SECONDS)

        while not self._server.closed:
            failed = self._failed_voids
            try:
                await self._server.call_in_run(begin)
            except RedisAwayError:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            except Exception:  # it must not stay in doubt for ever
                log.exception("cache: a new epoch can not be begun")
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if failed == self._failed_voids:
                self._in_doubt = False
                log.info("cache: what was kept is void", extra={"data": {"prefix": self._prefix}})
                return

    def _names(self, run_id: str, keys: Iterable[str]) -> list[str]:
        beginning = f"{self._prefix}{run_id}:"
        return [beginning + key for key in keys]

    def _epoch_name(self, run_id: str) -> str:
        return f"{self._prefix}epoch:{run_id}"
