"""Logging in renews a hash of another cost, which takes another time to check than a name that nobody has."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from scrip.identity.v1 import auth_pb2, member_pb2

from services.common.db import Connection
from services.common.errors import DomainError
from services.identity.accounts import replace_password_hash
from services.identity.passwords.hashing import Passwords
from services.identity.tests.people import DONE, PASSWORD, People, outcome
from tests.inprocess import PASSWORD_KIB

OTHER = "a giraffe counts forwards"
OLD_KIB = PASSWORD_KIB + 1_024
SET_HASH = "UPDATE accounts SET password_hash = %(hash)s WHERE id = CAST(%(id)s AS uuid)"


async def log_in(people: People, member: member_pb2.Member, password: str = PASSWORD) -> str:
    """Returns what becomes of logging in."""
    given = auth_pb2.PasswordCredentials(user_name=member.user_name, password=password)
    return await outcome(people.auth.LogIn(auth_pb2.LogInRequest(password=given)))


async def keep_old_hash(people: People, member_id: str) -> str:
    """Gives the account the hash that its password would have got under another setting."""
    old = await Passwords(OLD_KIB).hash(PASSWORD)
    await people.execute("identity", SET_HASH, id=member_id, hash=old)
    return old


async def kept_hash(people: People, member_id: str) -> str:
    """Returns the hash of the account's password."""
    query = "SELECT password_hash FROM accounts WHERE id = CAST(%(id)s AS uuid)"
    [(kept,)] = await people.rows("identity", query, id=member_id)
    return str(kept)


async def test_logging_in_by_a_password_renews_a_hash_of_another_cost(people: People) -> None:
    member = (await people.register()).member
    old = await keep_old_hash(people, member.id)
    assert await log_in(people, member, "wrong") == "CREDENTIALS_NOT_VALID"
    assert await kept_hash(people, member.id) == old
    assert await log_in(people, member) == DONE
    new = await kept_hash(people, member.id)
    assert f"$m={PASSWORD_KIB}," in new
    assert await log_in(people, member) == DONE
    assert await kept_hash(people, member.id) == new


async def test_of_logins_at_once_none_is_refused_for_it(people: People) -> None:
    member = (await people.register()).member
    for _ in range(5):
        await keep_old_hash(people, member.id)
        tries = [log_in(people, member) for _ in range(2)]
        assert await asyncio.gather(*tries) == [DONE, DONE]


async def test_a_password_that_is_changed_meanwhile_is_not_put_back(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = (await people.register()).member
    await keep_old_hash(people, member.id)
    changed = await Passwords(PASSWORD_KIB).hash(OTHER)

    async def change_first(connection: Connection, account_id: UUID, **values: Any) -> bool:
        await people.execute("identity", SET_HASH, id=member.id, hash=changed)
        return await replace_password_hash(connection, account_id, **values)

    monkeypatch.setattr("services.identity.passwords.proof.replace_password_hash", change_first)
    assert await log_in(people, member) == "CREDENTIALS_NOT_VALID"
    assert await kept_hash(people, member.id) == changed


async def test_that_it_can_not_be_renewed_keeps_nobody_out(
    people: People, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    member = (await people.register()).member
    old = await keep_old_hash(people, member.id)

    async def fail(connection: Connection, account_id: UUID, **values: Any) -> bool:
        raise DomainError("DEPENDENCY_UNAVAILABLE", "away")

    monkeypatch.setattr("services.identity.passwords.proof.replace_password_hash", fail)
    assert await log_in(people, member) == DONE
    assert await kept_hash(people, member.id) == old
    assert "could not be renewed" in caplog.text
    assert PASSWORD not in caplog.text


async def test_nobody_waits_for_it() -> None:
    passwords = Passwords(PASSWORD_KIB)
    old = await Passwords(OLD_KIB).hash(PASSWORD)
    async with asyncio.timeout(5), passwords.turn(), passwords.turn():
        assert await passwords.renew(old, PASSWORD) is None
    new = await passwords.renew(old, PASSWORD)
    assert new
    async with passwords.turn():
        assert await passwords.verify(new, PASSWORD)
