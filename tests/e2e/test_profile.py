"""What members change about themselves: profile, phone number, consent."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.people import (
    PASSWORD,
    WELCOME,
    answers,
    log_in,
    log_in_by_phone,
    made_otps,
    new_name,
    register,
)
from tests.platform import MEMBERS_AT_ONCE, Member, Platform, at_once, limited, refusal, unique

ME = "/v1/members/me"
CROWD = 50


@pytest_asyncio.fixture(scope="module")
async def crowd(live: Platform) -> list[Member]:
    """Fifty members."""
    return await live.members(CROWD)


async def _me(live: Platform, token: str) -> dict[str, Any]:
    found: dict[str, Any] = (await live.ok("GET", ME, token=token))["member"]
    return found


async def _change(live: Platform, token: str, **fields: Any) -> dict[str, Any]:
    changed: dict[str, Any] = (await live.ok("PATCH", ME, fields, token=token))["member"]
    return changed


async def _confirm(live: Platform, token: str, email: str) -> dict[str, Any]:
    """Confirms an address, with a one-time password that is sent to it."""
    asked = {"email": email, "purpose": "OTP_PURPOSE_CONFIRM_EMAIL"}
    sent = await live.ok("POST", "/v1/otps", asked)
    read = await live.ok("GET", f"/v1/sandbox/otps/{sent['otp_id']}", token=live.admin)
    body = {"otp": {"otp_id": sent["otp_id"], "code": read["code"]}}
    found: dict[str, Any] = (await live.ok("POST", f"{ME}:confirmEmail", body, token=token))["member"]
    return found


async def _notices(live: Platform, member_id: str) -> list[str]:
    """Returns what a member was told, the newest first."""
    inbox = await live.ok("GET", f"/v1/sandbox/notices?member_id={member_id}", token=live.admin)
    return [one["notice"]["kind"] for one in inbox["notices"]]


@pytest.mark.covers("I8 MemberService.UpdateMe")
async def test_what_is_given_changes_and_what_is_absent_stays(live: Platform, member: Member) -> None:
    before = await _me(live, member.token)
    name, email = f"Ada.{unique()}", f"{unique()}@Example.com"
    proof = await live.proof(member.phone)
    changed = await _change(live, member.token, full_name="  Ada King ", user_name=name, proof=proof)
    assert changed == before | {"full_name": "Ada King", "user_name": name.lower()}
    proof = await live.proof(member.phone)
    changed = await _change(live, member.token, email=email, birthday="1985-12-10", proof=proof)
    assert changed == before | {
        "full_name": "Ada King",
        "user_name": name.lower(),
        "pending_email": email.lower(),
        "birthday": "1985-12-10",
    }
    confirmed = await _confirm(live, member.token, email)
    proven = {"email": email.lower(), "email_confirmed": True, "pending_email": ""}
    assert confirmed == changed | proven
    changed = confirmed
    assert await _change(live, member.token) == changed
    assert await _me(live, member.token) == changed
    proof = await live.proof(member.phone)
    emptied = await _change(live, member.token, clear=["user_name", "birthday"], proof=proof)
    assert emptied == changed | {"user_name": "", "birthday": ""}


async def test_a_changed_name_is_the_one_to_log_in_with(live: Platform) -> None:
    member, login = await register(live)
    name = new_name()
    await _change(live, login.access, user_name=name, proof={"password": PASSWORD})
    old = {"password": {"user_name": member["user_name"], "password": PASSWORD}}
    assert (await live.refused("POST", "/v1/sessions", old)).reason == "CREDENTIALS_NOT_VALID"
    assert await answers(live, (await log_in(live, name)).access) == WELCOME


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"full_name": ""}, "full_name"),
        ({"full_name": "\u00a0"}, "full_name"),
        ({"full_name": "x" * 121}, "full_name"),
        ({"user_name": ""}, "user_name"),
        ({"user_name": "1abc"}, "user_name"),
        ({"user_name": "a@b.example"}, "user_name"),
        ({"email": ""}, "email"),
        ({"email": "nobody"}, "email"),
        ({"birthday": ""}, "birthday"),
        ({"birthday": "1985-02-30"}, "birthday"),
        ({"birthday": "2999-01-01"}, "birthday"),
        ({"clear": ["full_name"]}, "clear"),
        ({"clear": ["phone"]}, "clear"),
        ({"clear": ["email", "email"]}, "clear"),
        ({"email": "a@example.com", "clear": ["email"]}, "clear"),
        ({"full_name": 1}, "full_name"),
        ({"full_name": "Ada\x00"}, ""),
    ],
)
async def test_a_malformed_change_is_refused_and_changes_nothing(
    live: Platform, ada: Member, fields: dict[str, Any], named: str
) -> None:
    before = await _me(live, ada.token)
    refused = await live.refused("PATCH", ME, {"birthday": "1990-01-01"} | fields, token=ada.token)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    assert named in refused.message
    assert await _me(live, ada.token) == before


async def test_a_way_to_log_in_must_remain(live: Platform) -> None:
    _, login = await register(live, email=f"{unique()}@example.com")
    proof = {"password": PASSWORD}
    refused = await live.refused("PATCH", ME, {"clear": ["email"], "proof": proof}, token=login.access)
    assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    await _change(live, login.access, user_name=new_name(), clear=["email"], proof=proof)


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "ROLE_ADMIN"},
        {"role": "admin"},
        {"state": "MEMBER_STATE_CLOSED"},
        {"id": "01990000-0000-7000-8000-000000000000"},
        {"member_id": "01990000-0000-7000-8000-000000000000"},
        {"phone": "+14155550100"},
        {"has_password": True},
        {"registered_at": "2000-01-01T00:00:00Z"},
        {"consent": {"shares_contact": True}},
        {"member": {"role": "admin", "state": "MEMBER_STATE_CLOSED"}},
        {"fullName": "Somebody", "balance": 1_000_000},
    ],
)
async def test_nothing_but_its_own_fields_can_be_changed(
    live: Platform, ada: Member, fields: dict[str, Any]
) -> None:
    before = await _me(live, ada.token)
    answer = await live.call("PATCH", ME, fields, token=ada.token)
    if answer.status_code != 200:
        assert refusal(answer).reason == "VALIDATION_FAILED"
    after = await _me(live, ada.token)
    assert after == before | ({"full_name": "Somebody"} if "fullName" in fields else {})
    await _change(live, ada.token, full_name=before["full_name"])
    # The same in the query: a field that does not exist is named, one that does needs no query.
    for name in fields.keys() - {"fullName"}:
        refused = await live.refused("PATCH", f"{ME}?{name}=admin", {}, token=ada.token)
        assert (refused.status, refused.reason) == (400, "VALIDATION_FAILED")
    admin = await live.refused("GET", "/v1/staff", token=ada.token)
    assert (admin.status, admin.metadata) == (403, {"role": "member"})


async def test_names_that_others_have_are_refused_whatever_the_letter_case(
    live: Platform, member: Member
) -> None:
    other, _ = await register(live, user_name=new_name(), email=f"{unique()}@example.com")
    body = {"user_name": other["user_name"].upper(), "proof": await live.proof(member.phone)}
    refused = await live.refused("PATCH", ME, body, token=member.token)
    assert (refused.status, refused.reason) == (409, "USER_NAME_TAKEN")
    body = {"email": other["email"].upper(), "proof": await live.proof(member.phone)}
    changed = await live.ok("PATCH", ME, body, token=member.token)
    assert changed["member"]["pending_email"] == other["email"], "whether somebody has it is not told"


async def test_of_fifty_members_who_want_one_name_at_once_one_gets_it(
    live: Platform, crowd: list[Member]
) -> None:
    otps = await made_otps(live.stack, [one.phone for one in crowd], "STEP_UP")
    name = new_name()
    bodies = [{"user_name": name, "proof": {"otp": otp.proof}} for otp in otps]
    calls = zip(crowd, bodies, strict=True)
    got = await at_once([live.call("PATCH", ME, body, token=one.token) for one, body in calls])
    told = Counter("changed" if one.status_code == 200 else refusal(one).reason for one in got)
    assert told == {"changed": 1, "USER_NAME_TAKEN": CROWD - 1}


# ---------------------------------------------------------------------------- a fresh proof


@pytest.mark.covers("I9 MemberService.UpdateMe", "I9 MemberService.CloseMe", "I9 MemberService.ChangeMyPhone")
async def test_a_stolen_token_takes_no_account(live: Platform, member: Member) -> None:
    before = await _me(live, member.token)
    thiefs = await live.otp(purpose="CHANGE_PHONE")
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", ME, {"email": "thief@example.com"}),
        ("PATCH", ME, {"user_name": new_name()}),
        ("POST", f"{ME}:changePhone", {"otp": thiefs.proof}),
        ("POST", f"{ME}:close", {"confirm": True}),
    ]
    stolen = {"otp": (await live.otp(purpose="STEP_UP")).proof}
    for method, path, body in calls:
        refused = await live.refused(method, path, body, token=member.token)
        assert (refused.status, refused.reason, refused.metadata) == (
            403,
            "PROOF_REQUIRED",
            {"methods": "phone"},
        )
        refused = await live.refused(method, path, body | {"proof": stolen}, token=member.token)
        assert refused.reason == "OTP_NOT_VALID", "it was sent to another number than the account's"
    assert await _me(live, member.token) == before
    assert await _notices(live, member.id) == []


@pytest.mark.covers("I9 SandboxService.ListSandboxNotices")
async def test_the_old_number_is_told_of_each_change_in_the_language_asked_for(
    live: Platform, member: Member
) -> None:
    named = {"user_name": new_name(), "proof": await live.proof(member.phone)}
    await live.ok("PATCH", ME, named, token=member.token)
    new_number = await live.otp(purpose="CHANGE_PHONE")
    moved = {"otp": new_number.proof, "proof": await live.proof(member.phone)}
    headers = {"authorization": f"Bearer {member.token}", "accept-language": "fr, de-AT;q=0.9, en;q=0.5"}
    answer = await live.http.post(f"{ME}:changePhone", json=moved, headers=headers)
    assert answer.status_code == 200, answer.text
    inbox = await live.ok("GET", f"/v1/sandbox/notices?member_id={member.id}", token=live.admin)
    [new, old] = inbox["notices"]
    assert (old["notice"]["kind"], old["notice"]["language"]) == ("NOTICE_KIND_USER_NAME_CHANGED", "en")
    assert (new["notice"]["kind"], new["notice"]["language"]) == ("NOTICE_KIND_PHONE_CHANGED", "de")
    assert new["notice"]["recipient"] == old["notice"]["recipient"] == f"…{member.phone[-4:]}"
    assert new["text"].startswith("Ihr Scrip-Konto hat seit ")
    for path in (f"/v1/sandbox/notices?member_id={member.id}", "/v1/notices"):
        assert (await live.refused("GET", path, token=member.token)).reason == "ROLE_NOT_ALLOWED"
    listed = await live.ok("GET", f"/v1/notices?member_id={member.id}&with_total=true", token=live.admin)
    assert listed["notices"] == [new["notice"], old["notice"]]
    assert listed["total"] == {"count": 2, "more": False}


# ---------------------------------------------------------------------------- phone


@pytest.mark.covers("I8 MemberService.ChangeMyPhone")
async def test_another_phone_takes_the_place_of_the_old_one(live: Platform, member: Member) -> None:
    otp = await live.otp(purpose="CHANGE_PHONE")
    body = {"otp": otp.proof, "proof": await live.proof(member.phone)}
    changed = await live.ok("POST", f"{ME}:changePhone", body, token=member.token)
    assert changed["member"] == await _me(live, member.token)
    assert changed["member"]["phone"] == otp.phone
    body = {"otp": otp.proof, "proof": await live.proof(otp.phone)}
    used = await live.refused("POST", f"{ME}:changePhone", body, token=member.token)
    assert (used.status, used.reason) == (400, "OTP_NOT_VALID")
    assert await answers(live, member.token) == WELCOME
    # The old number is free for somebody else, and no way in any more.
    old = await live.otp(member.phone, "LOG_IN")
    assert (await live.refused("POST", "/v1/sessions", {"otp": old.proof})).reason == "ACCOUNT_NOT_FOUND"
    assert (await live.member(await live.otp(member.phone))).id != member.id
    me = await _me(live, (await log_in_by_phone(live, otp.phone)).access)
    assert me["id"] == member.id


async def test_a_number_that_somebody_has_is_refused(live: Platform, member: Member, ada: Member) -> None:
    otp = await live.otp(ada.phone, "CHANGE_PHONE")
    body = {"otp": otp.proof, "proof": await live.proof(member.phone)}
    refused = await live.refused("POST", f"{ME}:changePhone", body, token=member.token)
    assert (refused.status, refused.reason) == (409, "PHONE_TAKEN")
    assert (await _me(live, member.token))["phone"] == member.phone
    missing = await live.refused("POST", f"{ME}:changePhone", {}, token=member.token)
    assert (missing.status, missing.fields) == (400, ["otp"])


# ---------------------------------------------------------------------------- consent


@pytest.mark.covers("I8 MemberService.SetMyConsent")
async def test_consent_is_kept_with_its_time_and_wording_and_can_be_taken_back(
    live: Platform, member: Member
) -> None:
    assert "consent" not in await _me(live, member.token)
    consent: dict[str, Any] = {}
    for shares, wording in ((True, "2026-01"), (False, "2026-02")):
        said = {"shares_contact": shares, "wording_version": wording}
        told = await live.ok("PUT", f"{ME}/consent", said, token=member.token)
        consent = told["member"]["consent"]
        assert consent.items() >= said.items()
        age = datetime.now(UTC) - datetime.fromisoformat(consent["given_at"])
        assert timedelta(seconds=-1) < age < timedelta(seconds=10)
        assert (await _me(live, member.token))["consent"] == consent
        again = await live.ok("PUT", f"{ME}/consent", said, token=member.token)
        assert again["member"]["consent"] == consent, "it was said already"
    for wording in ("", "x" * 65):
        refused = await live.refused(
            "PUT",
            f"{ME}/consent",
            {"shares_contact": True, "wording_version": wording},
            token=member.token,
        )
        assert (refused.status, refused.fields) == (400, ["wording_version"])
    assert (await _me(live, member.token))["consent"] == consent


async def test_all_at_once_all_take_effect(live: Platform, crowd: list[Member]) -> None:
    """Consent, name and birthday of fifty members, each changed by calls of their own."""
    calls = [
        call
        for one in crowd
        for call in (
            live.ok("PATCH", ME, {"full_name": f"N {one.phone}"}, token=one.token),
            live.ok("PATCH", ME, {"birthday": "1990-01-01"}, token=one.token),
            live.ok(
                "PUT",
                f"{ME}/consent",
                {"shares_contact": True, "wording_version": one.phone},
                token=one.token,
            ),
        )
    ]
    await at_once(calls)
    read = await limited(MEMBERS_AT_ONCE, [partial(_me, live, one.token) for one in crowd])
    for member, me in zip(crowd, read, strict=True):
        assert (me["full_name"], me["birthday"]) == (f"N {member.phone}", "1990-01-01")
        assert me["consent"]["wording_version"] == member.phone
