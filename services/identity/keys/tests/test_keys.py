"""The keys that sign: making, publishing, rotating and forgetting them, and keeping them secret."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import jwt
import orjson
import pytest
from cryptography.fernet import InvalidToken
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc, member_pb2, member_pb2_grpc
from scrip.points.v1 import points_pb2, points_pb2_grpc

from services.common.auth import PUBLIC_AUDIENCE, KeyRing, TokenVerifier
from services.common.caller import MEMBER
from services.common.db import Connection, Database, execute, fetch_value
from services.common.errors import DomainError
from services.common.ids import new_id, utc_now
from services.identity.commands import rotate_keys
from services.identity.keys.signing_keys import (
    SigningKeys,
    _add_first_key,
    add_signing_key,
    read_jwks,
    rotate_when_due,
)
from services.identity.keys.tokens import TokenIssuer
from services.identity.keys.vault import Vault
from services.identity.sessions import SessionTokens
from services.identity.sessions.commands.refresh_session import Refreshed
from services.identity.tests.own_identity import own_identity
from services.identity.tests.people import DONE, People, outcome
from tests.databases import new_database
from tests.inprocess import Platform, bearer, eventually

DAY = 86_400


@pytest.fixture
async def database(platform: Platform) -> AsyncIterator[Database]:
    """A database of identity without any key."""
    url = await new_database(platform.postgres, "identity")
    found = Database(url, pool_size=10)
    yield found
    await found.close()


@pytest.fixture
async def keys(database: Database, platform: Platform) -> SigningKeys:
    """The keys of one process, the first of which it made."""
    found = SigningKeys(database, platform.vault)
    await found.refresh()
    return found


async def published(database: Database) -> list[str]:
    """Returns the ids of the published keys, the oldest first."""
    return [key["kid"] for key in (await database.read(read_jwks))["keys"]]


async def let_time_pass(database: Database, seconds: float) -> None:
    """Makes all keys older."""

    async def run(connection: Connection) -> None:
        await execute(
            connection,
            """
            UPDATE signing_keys SET
              signs_from = signs_from - make_interval(secs => %(seconds)s),
              created_at = created_at - make_interval(secs => %(seconds)s)
            """,
            seconds=seconds,
        )

    await database.run(run)


async def rotate(database: Database, vault: Vault, **changes: Any) -> str | None:
    """What a worker does again and again."""
    settings = {"lead_seconds": 180, "rotation_days": 30, "token_seconds": DAY} | changes
    return await database.run(rotate_when_due, vault, **settings)


async def test_processes_that_start_at_once_make_one_key(database: Database, platform: Platform) -> None:
    processes = [SigningKeys(database, platform.vault) for _ in range(8)]
    await asyncio.gather(*(process.refresh() for process in processes))
    [key_id] = await published(database)
    assert {process.at(utc_now()).id for process in processes} == {key_id}


async def test_the_first_key_is_waited_for_by_those_who_come_second(
    database: Database, platform: Platform
) -> None:
    made, commit = asyncio.Event(), asyncio.Event()

    async def make_and_wait(connection: Connection) -> None:
        await _add_first_key(connection, platform.vault)
        made.set()
        await commit.wait()

    first = asyncio.create_task(database.run(make_and_wait))
    await made.wait()
    second = asyncio.create_task(database.run(_add_first_key, platform.vault))
    await asyncio.sleep(0.2)
    assert not second.done()
    commit.set()
    await asyncio.gather(first, second)
    assert len(await published(database)) == 1


async def test_the_first_key_signs_at_once_also_where_the_clock_is_behind(
    database: Database, keys: SigningKeys
) -> None:
    [key_id] = await published(database)
    assert keys.at(utc_now() - timedelta(seconds=5)).id == key_id


async def test_without_a_key_nothing_is_signed(database: Database, platform: Platform) -> None:
    with pytest.raises(DomainError, match="DEPENDENCY_UNAVAILABLE"):
        SigningKeys(database, platform.vault).at(utc_now())


@pytest.mark.covers("I3 AuthService.GetJwks")
async def test_a_key_is_published_at_once_and_signs_when_its_time_has_come(
    database: Database, platform: Platform, keys: SigningKeys
) -> None:
    first = keys.at(utc_now())
    second = await database.run(add_signing_key, platform.vault, lead_seconds=180)
    await keys.refresh()
    assert await published(database) == [first.id, second]
    now = utc_now()
    assert keys.at(now).id == first.id
    assert keys.at(now + timedelta(seconds=170)).id == first.id
    assert keys.at(now + timedelta(seconds=181)).id == second


async def test_a_key_is_made_when_the_newest_is_old_enough(
    database: Database, platform: Platform, keys: SigningKeys
) -> None:
    del keys
    vault = platform.vault
    assert await rotate(database, vault) is None
    await let_time_pass(database, 30 * DAY - 60)
    assert await rotate(database, vault) is None
    await let_time_pass(database, 61)
    second = await rotate(database, vault)
    assert second
    assert await rotate(database, vault) is None, "there is one that will sign"
    assert (await published(database))[-1] == second


@pytest.mark.covers("I3 AuthService.GetJwks")
async def test_an_old_key_is_forgotten_when_its_last_token_has_expired(
    database: Database, platform: Platform, keys: SigningKeys
) -> None:
    vault, first = platform.vault, keys.at(utc_now()).id
    await let_time_pass(database, 31 * DAY)
    second = await rotate(database, vault)
    assert await published(database) == [first, second]
    # It signs for 180 s more, and what it signs then lives for a day.
    await let_time_pass(database, DAY + 180)
    await rotate(database, vault)
    assert await published(database) == [first, second]
    await let_time_pass(database, 181)
    await rotate(database, vault)
    assert await published(database) == [second]


async def test_the_only_key_is_never_forgotten(
    database: Database, platform: Platform, keys: SigningKeys
) -> None:
    key_id = keys.at(utc_now()).id
    await let_time_pass(database, 400 * DAY)
    assert await rotate(database, platform.vault, rotation_days=1_000) is None
    assert await published(database) == [key_id]


async def test_workers_that_rotate_at_once_leave_keys_that_all_know(
    database: Database, platform: Platform, keys: SigningKeys
) -> None:
    await let_time_pass(database, 31 * DAY)
    made = await asyncio.gather(*(rotate(database, platform.vault) for _ in range(5)))
    assert any(made)
    await keys.refresh()
    in_a_while = keys.at(utc_now() + timedelta(seconds=200)).id
    assert in_a_while in made
    assert in_a_while in await published(database)


async def test_a_lost_answer_is_the_same_when_another_key_signs_by_now(
    database: Database, platform: Platform, keys: SigningKeys
) -> None:
    tokens = SessionTokens(TokenIssuer(keys), DAY)
    now = utc_now()
    refreshed = Refreshed(new_id(), MEMBER, new_id(), now + timedelta(days=90), now, new_id(), "next")
    first = tokens.refreshed(refreshed)
    await database.run(add_signing_key, platform.vault, lead_seconds=0)
    await keys.refresh()
    again = tokens.refreshed(refreshed)
    assert (again.access.value, again.refresh_token) == (first.access.value, first.refresh_token)
    later = Refreshed(new_id(), MEMBER, new_id(), now + timedelta(days=90), utc_now(), new_id(), "next")
    assert _kid(tokens.refreshed(later).access.value) != _kid(first.access.value)


@pytest.mark.covers("I3 AuthService.GetJwks")
async def test_private_keys_are_of_no_use_without_the_master_key(
    database: Database, platform: Platform, keys: SigningKeys
) -> None:
    del keys

    async def kept(connection: Connection) -> bytes:
        return bytes(await fetch_value(connection, "SELECT private_key FROM signing_keys"))

    sealed = await database.read(kept)
    assert b"PRIVATE" not in sealed
    assert b"PRIVATE KEY" in platform.vault.decrypt(sealed)
    stranger = Vault("A" * 43 + "=")
    with pytest.raises(InvalidToken):
        stranger.decrypt(sealed)
    with pytest.raises(InvalidToken):
        await SigningKeys(database, stranger).refresh()


@pytest.mark.covers("I3 AuthService.GetJwks")
async def test_nothing_private_is_published(platform: Platform) -> None:
    stub = auth_pb2_grpc.AuthServiceStub(platform.channels["identity"])
    reply = await stub.GetJwks(auth_pb2.GetJwksRequest())
    assert reply.content_type == "application/json"
    found = orjson.loads(reply.data)["keys"]
    assert found
    for key in found:
        assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
        assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")


@pytest.mark.covers("I3 AuthService.GetJwks")
async def test_the_command_makes_a_key_that_signs_after_its_lead(platform: Platform) -> None:
    redis_url = platform.redis_url[:-1] + "1"
    async with own_identity(platform, redis_url=redis_url) as own:
        settings = platform.settings["identity"].model_copy(update={"database_url": own.database_url})
        before = await published(own.database)
        await rotate_keys(settings, asyncio.Event())
        after = await published(own.database)
        assert after[:1] == before
        assert len(after) == 2
        keys = SigningKeys(own.database, platform.vault)
        await keys.refresh()
        assert keys.at(utc_now()).id == before[0]
        assert keys.at(utc_now() + timedelta(seconds=settings.key_lead_seconds + 1)).id == after[1]


async def test_services_learn_a_key_from_the_first_token_that_names_it(
    people: People, platform: Platform
) -> None:
    """What is published early enough is known before; this is for a key that was not."""
    member = await platform.member()
    before = _kid(member.token)
    await platform.databases["identity"].run(add_signing_key, platform.vault, lead_seconds=0)
    token = await platform.token(MEMBER, member.id)
    assert _kid(token) != before

    async def works() -> None:
        assert await people.answers(token) == {DONE}

    await eventually(works, seconds=10)
    assert await people.answers(member.token) == {DONE}


@dataclass
class Load:
    """Tokens signed by several processes and verified by several services, all the time."""

    issuers: list[TokenIssuer]
    verifiers: list[TokenVerifier]
    token_seconds: int
    alive: list[tuple[str, float]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    checked: int = 0

    async def run(self, until: float) -> None:
        """Signs, and verifies all that has not expired."""
        turn = 0
        while time.monotonic() < until:
            issuer = self.issuers[turn % len(self.issuers)]
            token = issuer.issue_for_till(new_id(), self.token_seconds, series=new_id())
            self.used.add(_kid(token.value))
            self.alive.append((token.value, float(_said(token.value)["exp"])))
            self.alive = [one for one in self.alive if one[1] > time.time()][-40:]
            for value, expires in self.alive:
                verifier = self.verifiers[self.checked % len(self.verifiers)]
                verifier._verified.clear()
                try:
                    await verifier.verify(value, PUBLIC_AUDIENCE)
                except DomainError:
                    if time.time() < expires:
                        raise  # else it has expired on the way
                self.checked += 1
            turn += 1
            await asyncio.sleep(0.005)


@pytest.mark.covers("I3 AuthService.GetJwks")
async def test_no_valid_token_is_refused_while_keys_rotate(
    database: Database, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days as seconds: a key every three, published 2.7 s before it signs; a busy machine may pause."""
    monkeypatch.setattr("services.common.auth._REFETCH_SECONDS", 0.05)
    monkeypatch.setattr("services.common.auth._REFRESH_SECONDS", 0.2)
    monkeypatch.setattr("services.identity.keys.signing_keys._LATE_SECONDS", 1.5)
    token_seconds, lasting = 6, 21.0
    vault = platform.vault
    processes = [SigningKeys(database, vault) for _ in range(2)]
    for process in processes:
        await process.refresh()
    first = await published(database)
    rings = [KeyRing(partial(database.read, read_jwks)) for _ in range(3)]
    turning = partial(
        rotate, database, vault, lead_seconds=2.7, rotation_days=3 / DAY, token_seconds=token_seconds
    )
    chores: list[Callable[[], Awaitable[object]]] = [turning, *(process.refresh for process in processes)]
    load = Load(list(map(TokenIssuer, processes)), list(map(TokenVerifier, rings)), token_seconds)
    for ring in rings:
        await ring.refresh()
        # Services learn of keys by polling: a token must not be what announces them.
        monkeypatch.setattr(ring, "find", partial(_find, ring))
    async with AsyncExitStack() as stack:
        for chore in chores:
            stack.push_async_callback(_stop, asyncio.create_task(_again(chore)))
        for ring in rings:
            stack.push_async_callback(_stop, asyncio.create_task(ring.keep_fresh()))
        await load.run(time.monotonic() + lasting)
    assert len(load.used) >= 3
    assert load.checked > 500
    left = await published(database)
    assert first[0] not in left, "what is old enough is forgotten"
    assert len(left) < len(load.used) + 2


async def _find(ring: KeyRing, key_id: str) -> jwt.PyJWK | None:
    return ring._keys.get(key_id)


async def _again(chore: Callable[[], Awaitable[object]]) -> None:
    while True:
        await chore()
        await asyncio.sleep(0.1)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    results = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)


@pytest.mark.covers("I3 AuthService.GetJwks")
async def test_services_go_on_while_keys_rotate(people: People, platform: Platform) -> None:
    """The services themselves, over the wire: keys are made during calls, and no call is refused."""
    member = await platform.member()
    identity = member_pb2_grpc.MemberServiceStub(platform.channels["identity"])
    points = points_pb2_grpc.PointsServiceStub(platform.channels["points"])
    metadata = bearer(member.token)
    for turn in range(60):
        if turn % 20 == 0:
            await platform.databases["identity"].run(add_signing_key, platform.vault, lead_seconds=180)
        calls: list[Awaitable[object]] = [
            identity.GetMe(member_pb2.GetMeRequest(), metadata=metadata),
            points.GetMyBalance(points_pb2.GetMyBalanceRequest(), metadata=metadata),
        ]
        assert [await outcome(call) for call in calls] == [DONE, DONE]


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def _said(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found
