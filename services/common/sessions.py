"""Whether a login is still active: looked up here for a moment, then in Redis, then at identity.

Tokens of people name their login (`sid`). Identity alone knows which logins are active; it writes them
to Redis, versioned, and no service looks back further than half a second, so that a login which was
replaced, ended or suspended is refused everywhere within a second. When neither Redis nor identity
answers, nobody is let in.

What Redis holds is believed only while identity vouches for it. Each state names the epoch in which it
was read from the database, and identity says again and again, for half a second each time, which epoch it
is. A change that Redis could not be told of begins a new epoch in its own transaction, so that nothing
older is believed after that, whatever Redis still holds or is sent late.

However late a process of identity tells what it knows, it never tells what is old: who changes something
sets a doubt before and replaces nothing but that or what is older; who has only read sets a mark before
reading and replaces nothing but what was there then. So what Redis has forgotten meanwhile, and with it
that something newer was there, nobody puts back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from redis.commands.core import AsyncScript

from services.common.batching import Batcher, SingleFlight
from services.common.cache import Redis, RedisAwayError
from services.common.caller import MEMBER, Caller
from services.common.errors import DomainError
from services.common.ids import new_id

ACTIVE, SUSPENDED, CLOSED, UNKNOWN = "active", "suspended", "closed", "unknown"
_IN_DOUBT, _READING = "?", "!"
_REDIS_SECONDS = 30
_READING_SECONDS = 5
_VOUCHED_MILLISECONDS = 500
_LOCAL_SECONDS = 0.4
"""With the time of vouching it stays below the second that is promised."""
_LOCAL_SIZE = 50_000
_LINGER_SECONDS = 0.002

# Values are `version:epoch:rest`, where the rest is `?`, `!` (a mark) or `status:sessions`.
_NEWER = """
local function newer(held, version, epoch)
  local its, of, doubt = string.match(held, '^(%d+):([^:]*):(%??)')
  its = tonumber(its)
  return its > version or (its == version and doubt == '' and of == epoch)
end
local held = redis.call('GET', KEYS[1])
"""
_DOUBT = (
    _NEWER
    + """
if not held or not newer(held, tonumber(ARGV[2]), ARGV[3]) then
  redis.call('SET', KEYS[1], ARGV[2] .. ':' .. ARGV[3] .. ':?', 'EX', ARGV[1])
end
"""
)
_SETTLE = (
    _NEWER
    + """
if not held then return end
if string.match(held, '^0::!') then return redis.call('DEL', KEYS[1]) end
if not newer(held, tonumber(ARGV[2]), ARGV[3]) then
  redis.call('SET', KEYS[1], ARGV[2] .. ':' .. ARGV[3] .. ':' .. ARGV[4], 'EX', ARGV[1])
end
"""
)
_FILL = (
    _NEWER
    + """
if held ~= ARGV[5] or tonumber(string.match(held, '^%d+')) > tonumber(ARGV[2]) then return end
redis.call('SET', KEYS[1], ARGV[2] .. ':' .. ARGV[3] .. ':' .. ARGV[4], 'EX', ARGV[1])
"""
)


@dataclass(frozen=True, slots=True)
class SessionState:
    """Somebody's active logins. `version` counts the changes, `epoch` is that of the reading."""

    subject_id: str
    version: int
    status: str
    session_ids: frozenset[str]
    epoch: str = ""


class SessionCache:
    """The states in Redis, for 30 s. What one run of Redis held is never read in another."""

    def __init__(self, server: Redis) -> None:
        self._server = server
        register = server.client.register_script
        self._doubt, self._settle = register(_DOUBT), register(_SETTLE)
        self._reads = Batcher("session_reads", self._read, linger=_LINGER_SECONDS)

    async def get(self, subject_id: str) -> SessionState | None:
        """The state, or None when there is none, nobody vouches for it, it is in doubt, or Redis is away."""
        return await self._reads.submit(subject_id)

    async def _read(self, subject_ids: list[str]) -> list[SessionState | None]:
        wanted = list(dict.fromkeys(subject_ids))

        async def read(run_id: str) -> list[bytes | None]:
            pipeline = self._server.client.pipeline(transaction=False)
            queued = [pipeline.get(_epoch_key(run_id))]
            queued += [pipeline.get(_key(run_id, subject_id)) for subject_id in wanted]
            found: list[bytes | None] = await pipeline.execute()
            assert len(found) == len(queued)
            return found

        try:
            vouched, *held = await self._server.call_in_run(read)
        except RedisAwayError:
            return [None] * len(subject_ids)
        found = {one: _believed(one, value, vouched) for one, value in zip(wanted, held, strict=True)}
        return [found[subject_id] for subject_id in subject_ids]

    async def doubt(self, state: SessionState) -> bool:
        """Says that this version is about to be committed: until it is settled, ask identity.

        Answers whether Redis took note.
        """
        return await self._tell(self._doubt, state)

    async def settle(self, state: SessionState) -> bool:
        """Says that a doubted version was committed. Answers whether Redis took note."""
        return await self._tell(self._settle, state, _told(state))

    async def fill(
        self, subject_ids: Sequence[str], read: Callable[[], Awaitable[Sequence[SessionState]]]
    ) -> Sequence[SessionState]:
        """Reads states and keeps those that nothing was told about since before the reading.

        What is read must be what is committed at that time, one state for each id, in their order.
        """
        try:
            run_id, seen = await self._mark(subject_ids)
        except RedisAwayError:
            return await read()
        states = await read()
        pipeline = self._server.client.pipeline(transaction=False)
        queued: list[object] = []
        for state, held in zip(states, seen, strict=True):
            if held:
                key, told = _key(run_id, state.subject_id), _told(state)
                # As text: a pipeline with scripts keeps its connection when Redis goes away.
                queued.append(
                    pipeline.eval(_FILL, 1, key, _REDIS_SECONDS, state.version, state.epoch, told, held)
                )
        with contextlib.suppress(RedisAwayError):
            await self._server.call(pipeline.execute())
        return states

    async def _mark(self, subject_ids: Sequence[str]) -> tuple[str, list[bytes | None]]:
        """Sets a mark where nothing is; answers what is there, and in which run."""
        mark = f"0::{_READING}{new_id()}"

        async def write(run_id: str) -> tuple[str, list[bytes | None]]:
            pipeline = self._server.client.pipeline(transaction=False)
            queued: list[object] = []
            for key in (_key(run_id, subject_id) for subject_id in subject_ids):
                queued += [pipeline.set(key, mark, ex=_READING_SECONDS, nx=True), pipeline.get(key)]
            replies = await pipeline.execute()
            assert len(replies) == len(queued)
            return run_id, replies[1::2]

        return await self._server.call_in_run(write)

    async def vouch(self, read_epoch: Callable[[], Awaitable[str]]) -> None:
        """Reads the epoch and vouches for it, for half a second from before the reading.

        That is by the clock of Redis: a vouching that is late, because Redis hung, is over when it arrives.
        """

        async def time_of(run_id: str) -> tuple[str, int]:
            seconds, microseconds = await self._server.client.time()
            return run_id, seconds * 1_000 + microseconds // 1_000

        try:
            run_id, now = await self._server.call_in_run(time_of)
            epoch = await read_epoch()
            until = now + _VOUCHED_MILLISECONDS
            await self._server.call(self._server.client.set(_epoch_key(run_id), epoch, pxat=until))
        except RedisAwayError:
            return

    async def _tell(self, script: AsyncScript, state: SessionState, *value: str) -> bool:
        async def tell(run_id: str) -> None:
            arguments: list[str | int] = [_REDIS_SECONDS, state.version, state.epoch, *value]
            await script(keys=[_key(run_id, state.subject_id)], args=arguments)

        try:
            await self._server.call_in_run(tell)
        except RedisAwayError:
            return False
        return True


def _told(state: SessionState) -> str:
    return f"{state.status}:{','.join(sorted(state.session_ids))}"


def _believed(subject_id: str, held: bytes | None, vouched: bytes | None) -> SessionState | None:
    if not vouched or not held:
        return None
    version, epoch, rest = held.decode().split(":", 2)
    if rest.startswith((_IN_DOUBT, _READING)) or epoch != vouched.decode():
        return None
    status, _, sessions = rest.partition(":")
    return SessionState(subject_id, int(version), status, frozenset(filter(None, sessions.split(","))), epoch)


def _key(run_id: str, subject_id: str) -> str:
    return f"session:{run_id}:{subject_id}"


def _epoch_key(run_id: str) -> str:
    return f"session-epoch:{run_id}"


class SessionGate:
    """Lets pass only callers whose login is active."""

    def __init__(self, cache: SessionCache, ask: Callable[[str], Awaitable[SessionState]]) -> None:
        self._cache = cache
        self._asked = SingleFlight("session_checks", ask)
        self._known: dict[str, tuple[SessionState, float]] = {}

    async def require(self, who: Caller) -> None:
        """Raises SESSION_REPLACED, SESSION_ENDED, ACCOUNT_SUSPENDED, ACCOUNT_CLOSED.

        Raises DEPENDENCY_UNAVAILABLE when nobody can say.
        """
        known = self._known.get(who.subject)
        if known and time.monotonic() - known[1] < _LOCAL_SECONDS and _lets_in(known[0], who):
            return
        # What is known here may be older than the login: nobody is refused without looking again.
        state = await self._look(who.subject)
        if _lets_in(state, who):
            return
        if state.status == SUSPENDED:
            raise DomainError("ACCOUNT_SUSPENDED", "the account is suspended")
        if state.status == CLOSED:
            raise DomainError("ACCOUNT_CLOSED", "the account is closed")
        if who.role == MEMBER and state.session_ids:
            raise DomainError("SESSION_REPLACED", "logged in on another device since")
        raise DomainError("SESSION_ENDED", "the login has ended; log in again")

    async def _look(self, subject_id: str) -> SessionState:
        now = time.monotonic()
        state = await self._cache.get(subject_id) or await self._asked.ask(subject_id)
        if len(self._known) >= _LOCAL_SIZE:
            self._known.clear()
        self._known[subject_id] = (state, now)
        return state


def _lets_in(state: SessionState, who: Caller) -> bool:
    return state.status == ACTIVE and who.session_id in state.session_ids
