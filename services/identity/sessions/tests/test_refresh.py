"""Going on with a login: the chain of refresh tokens, lost responses, stolen tokens, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from uuid import UUID

import grpc
import jwt
import pytest
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc

from services.common.db import Connection, fetch_value
from services.identity.keys import hash_secret
from services.identity.sessions.commands.end_sessions import end_sessions
from services.identity.sessions.logins import Logins
from services.identity.tests.devices import Device, device_of, log_in, use
from services.identity.tests.own_identity import own_identity
from services.identity.tests.people import DONE, People, outcomes, tally
from tests.inprocess import ADMIN_PASSWORD, Platform, bearer, eventually, reason, refusal

DAY = 86_400


@pytest.fixture
async def device(people: People) -> Device:
    """A member's device, logged in."""
    return await device_of(people, await people.platform.member())


def claims(token: auth_pb2.AccessToken) -> dict[str, object]:
    """Returns the claims of an access token."""
    found: dict[str, object] = jwt.decode(token.access_token, options={"verify_signature": False})
    return found


def tokens(token: auth_pb2.AccessToken) -> tuple[str, str]:
    """Both tokens."""
    return token.access_token, token.refresh_token


async def ended(people: People, device: Device) -> str:
    """Returns why the login has ended, by the database; empty while it goes on."""
    query = "SELECT coalesce(end_reason, '') FROM sessions WHERE id = %(id)s"
    [(why,)] = await people.rows("identity", query, id=UUID(str(claims(device.token)["sid"])))
    return str(why)


async def long_ago(people: People, refresh_token: str, seconds: float) -> None:
    """Lets time pass since the token was used."""
    await people.execute(
        "identity",
        "UPDATE refresh_tokens SET used_at = used_at - make_interval(secs => %(seconds)s)"
        " WHERE token_hash = %(hash)s",
        hash=hash_secret(refresh_token),
        seconds=seconds,
    )


async def assert_ended(people: People, *devices: Device) -> None:
    """That the access tokens are refused everywhere."""

    async def refused() -> None:
        for device in devices:
            assert await people.answers(device.access) == {"SESSION_ENDED"}

    await eventually(refused)


@pytest.mark.covers("I3 AuthService.RefreshSession")
async def test_refreshing_gives_new_tokens_of_the_same_login(people: People, device: Device) -> None:
    first = device.token
    second = await device.refresh()
    third = await device.refresh()
    assert len({*tokens(first), *tokens(second), *tokens(third)}) == 6
    assert claims(first)["sid"] == claims(second)["sid"] == claims(third)["sid"]
    assert claims(first)["jti"] != claims(second)["jti"] != claims(third)["jti"]
    # An access token that was renewed is good until it expires: its login is.
    for token in (first, second, third):
        assert await people.answers(token.access_token) == {DONE}


@pytest.mark.covers("I3 AuthService.RefreshSession")
async def test_a_lost_answer_is_given_again_to_the_same_device(people: People, device: Device) -> None:
    used = device.token.refresh_token
    answers = [await device.refresh()] + [await use(people, used, device.id) for _ in range(3)]
    assert len({tokens(answer) for answer in answers}) == 1
    await device.refresh()
    assert await people.answers(device.access) == {DONE}


@pytest.mark.covers("I3 AuthService.RefreshSession")
async def test_fifty_refreshes_at_once_by_the_same_device_have_one_result(
    people: People, device: Device
) -> None:
    used = device.token.refresh_token
    answers = await asyncio.gather(*(use(people, used, device.id) for _ in range(50)))
    assert len({tokens(answer) for answer in answers}) == 1
    query = "SELECT count(*) FROM refresh_tokens WHERE session_id = %(id)s"
    count = await people.rows("identity", query, id=UUID(str(claims(device.token)["sid"])))
    assert count == [(2,)]
    device.token = answers[0]
    await device.refresh()


async def test_of_two_devices_with_one_token_at_once_none_keeps_the_login(
    people: People, device: Device
) -> None:
    used = device.token.refresh_token
    names = [device.id if number % 2 else f"thief-{number}" for number in range(20)]
    results = tally(await outcomes(use(people, used, name) for name in names))
    assert set(results) <= {DONE, "REFRESH_TOKEN_REUSED"}
    assert results["REFRESH_TOKEN_REUSED"] >= 9
    assert await ended(people, device) == "REUSED"
    assert await reason(use(people, used, device.id)) == "REFRESH_TOKEN_REUSED"


@pytest.mark.covers("I3 AuthService.RefreshSession")
@pytest.mark.parametrize("thief", ["another", ""])
async def test_a_used_token_on_another_device_ends_the_login(
    people: People, device: Device, thief: str
) -> None:
    used = device.token.refresh_token
    await device.refresh()
    name, code, metadata = await refusal(use(people, used, thief))
    assert (name, code, metadata) == ("REFRESH_TOKEN_REUSED", grpc.StatusCode.UNAUTHENTICATED, {})
    assert await reason(use(people, device.token.refresh_token, device.id)) == "REFRESH_TOKEN_REUSED"
    await assert_ended(people, device)


@pytest.mark.covers("I3 AuthService.RefreshSession")
async def test_a_used_token_after_ten_seconds_ends_the_login(people: People, device: Device) -> None:
    used = device.token.refresh_token
    await device.refresh()
    await long_ago(people, used, 8)
    again = await use(people, used, device.id)
    assert (again.refresh_token, claims(again)["jti"]) == (
        device.token.refresh_token,
        claims(device.token)["jti"],
    )
    await long_ago(people, used, 3)
    assert await reason(use(people, used, device.id)) == "REFRESH_TOKEN_REUSED"
    assert await reason(use(people, device.token.refresh_token, device.id)) == "REFRESH_TOKEN_REUSED"
    await assert_ended(people, device)


async def test_a_used_token_whose_answer_has_served_was_not_lost(people: People, device: Device) -> None:
    used = device.token.refresh_token
    await device.refresh()
    await device.refresh()
    assert await reason(use(people, used, device.id)) == "REFRESH_TOKEN_REUSED"
    await assert_ended(people, device)


@pytest.mark.covers("I3 AuthService.RefreshSession")
@pytest.mark.parametrize("thief", ["another", ""])
async def test_an_unused_token_on_another_device_ends_the_login(
    people: People, device: Device, thief: str
) -> None:
    assert await reason(use(people, device.token.refresh_token, thief)) == "REFRESH_TOKEN_REUSED"
    assert await ended(people, device) == "REUSED"
    assert await reason(use(people, device.token.refresh_token, device.id)) == "REFRESH_TOKEN_REUSED"
    await assert_ended(people, device)


async def test_a_login_without_a_device_is_bound_to_none(people: People) -> None:
    member = await people.platform.member()
    login = await log_in(people, member.phone, "")
    first = await use(people, login.refresh_token, "a name that it has since")
    await use(people, first.refresh_token, "")


async def test_who_names_no_device_can_not_ask_again(people: People) -> None:
    member = await people.platform.member()
    login = await log_in(people, member.phone, "")
    await use(people, login.refresh_token, "")
    assert await reason(use(people, login.refresh_token, "")) == "REFRESH_TOKEN_REUSED"


async def test_reuse_ends_the_login_and_only_it(people: People, platform: Platform, device: Device) -> None:
    other = await device_of(people, await platform.member())
    used = device.token.refresh_token
    await device.refresh()
    assert await reason(use(people, used, "thief")) == "REFRESH_TOKEN_REUSED"
    again = Device(people, device.phone, device.id, await log_in(people, device.phone, device.id))
    # What was stolen from the login before does not harm this one.
    assert await reason(use(people, used, "thief")) == "REFRESH_TOKEN_REUSED"
    assert await reason(use(people, device.token.refresh_token, "thief")) == "REFRESH_TOKEN_REUSED"
    for alive in (again, other):
        await alive.refresh()
        assert await people.answers(alive.access) == {DONE}


async def test_reuse_ends_no_other_login_of_staff(platform: Platform) -> None:
    async with own_identity(platform, staff_sessions=2) as own:
        auth = auth_pb2_grpc.AuthServiceStub(own.channel)
        given = auth_pb2.PasswordCredentials(user_name="admin", password=ADMIN_PASSWORD)
        logins = [(await auth.LogIn(auth_pb2.LogInRequest(password=given))).token for _ in range(2)]
        first, second = (
            auth_pb2.RefreshSessionRequest(refresh_token=login.refresh_token) for login in logins
        )
        assert claims((await auth.RefreshSession(first)).token)["role"] == "admin"
        assert await reason(auth.RefreshSession(first)) == "REFRESH_TOKEN_REUSED"
        await auth.RefreshSession(second)


@pytest.mark.covers("I3 AuthService.RefreshSession")
async def test_a_login_ends_for_good_however_often_it_is_refreshed(people: People, device: Device) -> None:
    assert device.token.refresh_expires_in in range(90 * DAY - 60, 90 * DAY + 1)
    assert device.token.expires_in == DAY
    session = UUID(str(claims(device.token)["sid"]))
    statement = "UPDATE sessions SET expires_at = now() + make_interval(secs => %(left)s) WHERE id = %(id)s"
    await people.execute("identity", statement, id=session, left=100)
    late = await device.refresh()
    assert late.refresh_expires_in in range(60, 101)
    assert late.expires_in in range(60, 101), "an access token does not outlive its login"
    await people.execute("identity", statement, id=session, left=0)
    name, code, _ = await refusal(use(people, late.refresh_token, device.id))
    assert (name, code) == ("REFRESH_TOKEN_EXPIRED", grpc.StatusCode.UNAUTHENTICATED)


async def test_after_another_login_it_says_that_it_was_replaced(people: People, device: Device) -> None:
    await log_in(people, device.phone, "another")
    assert await reason(use(people, device.token.refresh_token, device.id)) == "SESSION_REPLACED"


@pytest.mark.covers("I4 AuthService.LogOut", "I8 AuthService.LogOut")
@pytest.mark.parametrize("everywhere", [False, True])
async def test_after_logging_out_it_says_that_it_has_ended(
    people: People, device: Device, everywhere: bool
) -> None:
    await people.auth.LogOut(auth_pb2.LogOutRequest(everywhere=everywhere), metadata=bearer(device.access))
    assert await reason(use(people, device.token.refresh_token, device.id)) == "SESSION_ENDED"
    await assert_ended(people, device)
    await log_in(people, device.phone, device.id)


async def test_of_a_suspended_member_it_says_so(people: People, platform: Platform, device: Device) -> None:
    admin = await platform.admin()
    member_id = claims(device.token)["sub"]
    await people.suspend(member_id, admin)
    assert await reason(use(people, device.token.refresh_token, device.id)) == "ACCOUNT_SUSPENDED"
    await people.restore(member_id, admin)
    assert await reason(use(people, device.token.refresh_token, device.id)) == "SESSION_ENDED"


@pytest.mark.parametrize("wrong", ["x", "x" * 43, "not base64 at all", "x" * 256])
async def test_what_nobody_was_given_is_not_valid(people: People, wrong: str) -> None:
    name, code, _ = await refusal(use(people, wrong, "phone"))
    assert (name, code) == ("REFRESH_TOKEN_NOT_VALID", grpc.StatusCode.UNAUTHENTICATED)


@pytest.mark.parametrize("wrong", ["x" * 4097])
async def test_what_can_not_be_a_token_breaks_the_rule(people: People, wrong: str) -> None:
    assert await reason(use(people, wrong, "phone")) == "VALIDATION_FAILED"


async def test_without_a_token_and_a_cookie_it_says_what_an_app_without_a_login_expects(
    people: People,
) -> None:
    assert await reason(use(people, "", "phone")) == "REFRESH_TOKEN_NOT_VALID"


@pytest.mark.covers("I3 AuthService.RefreshSession")
async def test_an_access_token_is_no_refresh_token(people: People, device: Device) -> None:
    refused = await reason(use(people, device.access, device.id))
    assert refused in {"VALIDATION_FAILED", "REFRESH_TOKEN_NOT_VALID"}, "it is longer than they are"
    assert await reason(use(people, device.access[-256:], device.id)) == "REFRESH_TOKEN_NOT_VALID"
    assert await ended(people, device) == ""


@pytest.mark.covers("I4 AuthService.LogOut")
async def test_refreshing_against_logging_in_and_out_leaves_one_login_or_none(
    people: People, platform: Platform
) -> None:
    member = await platform.member()
    devices, before = [await device_of(people, member, "old")], platform.deadlocks()
    for turn in range(6):
        old, used = devices[-1], devices[-1].token.refresh_token
        crowd: list[Awaitable[object]] = [
            use(people, used, old.id),
            use(people, used, "thief"),
            log_in(people, member.phone, f"device-{turn}"),
            people.auth.LogOut(auth_pb2.LogOutRequest(), metadata=bearer(old.access)),
        ]
        # Locked in another order than logging in does, some would end after a deadlock's second.
        async with asyncio.timeout(10):
            results = await outcomes(crowd)
        assert results[2] == DONE
        query = "SELECT count(*) FROM sessions WHERE account_id = %(id)s AND ended_at IS NULL"
        assert (await people.rows("identity", query, id=member.id))[0][0] in (0, 1)
        devices.append(await device_of(people, member, f"next-{turn}"))
    assert platform.deadlocks() == before


@pytest.mark.covers("I3 AuthService.RefreshSession")
async def test_only_hashes_are_kept(people: People, device: Device) -> None:
    await device.refresh()
    query = "SELECT token_hash FROM refresh_tokens WHERE session_id = %(id)s"
    kept = await people.rows("identity", query, id=UUID(str(claims(device.token)["sid"])))
    hashes = {bytes(row[0]) for row in kept}
    assert hash_secret(device.token.refresh_token) in hashes
    assert all(len(one) == 32 for one in hashes)


async def test_the_next_token_can_not_be_told_from_the_last_without_the_master_key(
    people: People, platform: Platform, device: Device
) -> None:
    used = device.token.refresh_token
    await device.refresh()
    assert platform.vault.next_refresh_token(used) == device.token.refresh_token
    stranger = type(platform.vault)("A" * 43 + "=")
    assert stranger.next_refresh_token(used) != device.token.refresh_token


async def test_a_login_that_ends_amid_a_refresh_is_ended(people: People, platform: Platform) -> None:
    member = await platform.member()
    logins: Logins = platform.logins
    for _ in range(5):
        device = await device_of(people, member)
        refreshed, _ = await asyncio.gather(
            outcomes([use(people, device.token.refresh_token, device.id)]),
            logins.run(end_sessions, account_id=member.id),
        )
        assert refreshed[0] in {DONE, "SESSION_ENDED"}
        assert await active(platform, member.id) == 0


async def active(platform: Platform, account_id: UUID) -> int:
    async def count(connection: Connection) -> int:
        query = "SELECT count(*) FROM sessions WHERE account_id = %(id)s AND ended_at IS NULL"
        return int(await fetch_value(connection, query, id=account_id))

    return await platform.databases["identity"].read(count)
