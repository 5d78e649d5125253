"""Identity's session protocol: how it publishes which logins are active, and how services check them.

Tokens of people name their login (`sid`), those of tills the series of tokens that they belong to, which ends
when the till is disabled. Only identity's database knows which logins and series are active. Identity
writes them to Redis with a version, and a service checks a login in its own memory (0.4 s), then in Redis,
then by asking identity, so that a login that was replaced, ended or suspended is refused everywhere within a
second. When neither Redis nor identity can be reached, the call is refused.

**Tills** are looked up less often, every 1.5 s, because each purchase is a call of theirs, and what was known
of one within the last five minutes lets it go on selling while nobody can be asked.

**Epochs.** A state in Redis names the epoch in which it was read from the database. Identity renews a lease
on the current epoch for half a second at a time, and states of other epochs are ignored. A change that
could not be written to Redis begins a new epoch in its own transaction, so that what Redis still holds, or
receives late, is ignored from then on.

**Ordering.** A process of identity that is slow never overwrites a newer state. Before the commit, a change
writes an *in doubt* marker with its version; after the commit it settles it, which replaces that marker or
an older state, nothing else. A process that has only read writes a *reading* marker first and fills in the
state only where its marker still stands. So what Redis has lost meanwhile is not put back from an old
reading.

Identity alone writes (`SessionCache.mark_in_doubt`, `settle`, `fill`, `renew_lease`). All four services read
(`SessionGate`), which is why it stands in `services/common`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from redis.commands.core import AsyncScript

from services.common.batching import Batcher, SingleFlight
from services.common.cache import Redis, RedisAwayError
from services.common.caller import MEMBER, TILL, Caller
from services.common.errors import DomainError
from services.common.ids import new_id

ACTIVE, SUSPENDED, CLOSED, UNKNOWN = "active", "suspended", "closed", "unknown"
_IN_DOUBT, _READING = "?", "!"  # markers in place of a state
_REDIS_SECONDS = 30
_READING_SECONDS = 5
_LEASE_MILLISECONDS = 500
_LOCAL_SECONDS = 0.4
"""Together with the lease on the epoch it stays below the second that is promised."""
_LOCAL_TILL_SECONDS = 1.5
"""A till that is disabled is refused within two seconds; this keeps its purchases off the way to Redis."""
_TILL_GRACE_SECONDS = 300.0
"""For so long a till goes on by what was known of it, while neither Redis nor identity replies."""
_AWAY_SECONDS = 5.0
"""How long it does so before they are asked again, which costs a call the time of waiting for them."""
_LOCAL_SIZE = 50_000

# Values are `version:epoch:rest`; the rest is `?` (in doubt), `!` (a reader) or `status:sessions`.
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
    """The active logins of somebody. `version` counts the changes, `epoch` is that of the reading."""

    subject_id: str
    version: int
    status: str
    session_ids: frozenset[str]
    epoch: str = ""


class SessionCache:
    """The states in Redis, which live 30 s. Keys name the run of Redis: a restarted one starts empty."""

    def __init__(self, server: Redis) -> None:
        self._server = server
        register = server.client.register_script
        self._doubt, self._settle = register(_DOUBT), register(_SETTLE)
        self._reads = Batcher("session_reads", self._read)

    async def get(self, subject_id: str) -> SessionState | None:
        """Returns the state, or None: nothing there, no lease on its epoch, in doubt, or Redis is away."""
        if self._server.away:
            return None  # at once: waiting for a batch would only be waiting
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
            leased, *held = await self._server.call_in_run(read)
        except RedisAwayError:
            return [None] * len(subject_ids)
        found = {one: _believed(one, value, leased) for one, value in zip(wanted, held, strict=True)}
        return [found[subject_id] for subject_id in subject_ids]

    async def mark_in_doubt(self, state: SessionState) -> bool:
        """Marks a version that is about to be committed: until it is settled, services ask identity.

        Returns whether Redis took it.
        """
        return await self._write(self._doubt, state)

    async def settle(self, state: SessionState) -> bool:
        """Writes a version that was marked and is committed now. Returns whether Redis took it."""
        return await self._write(self._settle, state, _encoded(state))

    async def fill(
        self, subject_ids: Sequence[str], read: Callable[[], Awaitable[Sequence[SessionState]]]
    ) -> Sequence[SessionState]:
        """Reads states from the database and writes those that did not change in Redis meanwhile.

        `read` returns what is committed at that time, one state for each id, in their order.
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
                key, value = _key(run_id, state.subject_id), _encoded(state)
                # As text: a pipeline with scripts keeps its connection when Redis goes away.
                queued.append(
                    pipeline.eval(_FILL, 1, key, _REDIS_SECONDS, state.version, state.epoch, value, held)
                )
        with contextlib.suppress(RedisAwayError):
            await self._server.call(pipeline.execute())
        return states

    async def _mark(self, subject_ids: Sequence[str]) -> tuple[str, list[bytes | None]]:
        """Sets a reader's marker where nothing is; returns the run of Redis, and what is there now."""
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

    async def renew_lease(self, read_epoch: Callable[[], Awaitable[str]]) -> None:
        """Reads the epoch and takes a lease on it, for half a second from before the reading.

        By the clock of Redis: a lease that is written late, because Redis hung, has expired when it arrives.
        """

        async def time_of(run_id: str) -> tuple[str, int]:
            seconds, microseconds = await self._server.client.time()
            return run_id, seconds * 1_000 + microseconds // 1_000

        try:
            run_id, now = await self._server.call_in_run(time_of)
            epoch = await read_epoch()
            until = now + _LEASE_MILLISECONDS
            await self._server.call(self._server.client.set(_epoch_key(run_id), epoch, pxat=until))
        except RedisAwayError:
            return

    async def _write(self, script: AsyncScript, state: SessionState, *value: str) -> bool:
        async def write(run_id: str) -> None:
            arguments: list[str | int] = [_REDIS_SECONDS, state.version, state.epoch, *value]
            await script(keys=[_key(run_id, state.subject_id)], args=arguments)

        try:
            await self._server.call_in_run(write)
        except RedisAwayError:
            return False
        return True


def _encoded(state: SessionState) -> str:
    return f"{state.status}:{','.join(sorted(state.session_ids))}"


def _believed(subject_id: str, held: bytes | None, leased: bytes | None) -> SessionState | None:
    if not leased or not held:
        return None
    version, epoch, rest = held.decode().split(":", 2)
    if rest.startswith((_IN_DOUBT, _READING)) or epoch != leased.decode():
        return None
    status, _, sessions = rest.partition(":")
    return SessionState(subject_id, int(version), status, frozenset(filter(None, sessions.split(","))), epoch)


def _key(run_id: str, subject_id: str) -> str:
    return f"session:{run_id}:{subject_id}"


def _epoch_key(run_id: str) -> str:
    return f"session-epoch:{run_id}"


@dataclass(frozen=True, slots=True)
class _Known:
    """A state, when it was looked up, and until when it lets in without looking again."""

    state: SessionState
    looked_at: float
    until: float


class SessionGate:
    """Lets pass only callers whose login is active, and tills whose tokens are."""

    def __init__(self, cache: SessionCache, ask: Callable[[str], Awaitable[SessionState]]) -> None:
        self._cache = cache
        self._asked = SingleFlight("session_checks", ask)
        self._known: dict[str, _Known] = {}

    async def require(self, who: Caller) -> None:
        """Raises SESSION_REPLACED, SESSION_ENDED, ACCOUNT_SUSPENDED, ACCOUNT_CLOSED.

        Raises DEPENDENCY_UNAVAILABLE when neither Redis nor identity can be reached.
        """
        known = self._known.get(who.subject)
        if known and time.monotonic() < known.until and _lets_in(known.state, who):
            return
        # What is known here may be older than the login: nobody is refused without looking again.
        try:
            state = await self._look(who)
        except DomainError:
            if self._goes_on(who):
                return
            raise
        if _lets_in(state, who):
            return
        if state.status == SUSPENDED:
            raise DomainError("ACCOUNT_SUSPENDED", _WORDS[who.role == TILL])
        if state.status == CLOSED:
            raise DomainError("ACCOUNT_CLOSED", "the account is closed")
        if who.role == MEMBER and state.session_ids:
            raise DomainError("SESSION_REPLACED", "logged in on another device since")
        raise DomainError("SESSION_ENDED", "the login has ended; log in again")

    async def _look(self, who: Caller) -> SessionState:
        now = time.monotonic()
        state = await self._cache.get(who.subject) or await self._asked.ask(who.subject)
        seconds = _LOCAL_TILL_SECONDS if who.role == TILL else _LOCAL_SECONDS
        self._keep(who.subject, _Known(state, now, now + seconds))
        return state

    def _goes_on(self, who: Caller) -> bool:
        """Returns whether a till that was known a moment ago goes on though nobody can be asked."""
        known, now = self._known.get(who.subject), time.monotonic()
        if who.role != TILL or known is None or not _lets_in(known.state, who):
            return False
        if now - known.looked_at > _TILL_GRACE_SECONDS:
            return False
        self._keep(who.subject, _Known(known.state, known.looked_at, now + _AWAY_SECONDS))
        return True

    def _keep(self, subject_id: str, known: _Known) -> None:
        if len(self._known) >= _LOCAL_SIZE:
            self._known.clear()
        self._known[subject_id] = known


_WORDS = {False: "the account is suspended", True: "the till is disabled"}


def _lets_in(state: SessionState, who: Caller) -> bool:
    return state.status == ACTIVE and who.session_id in state.session_ids
