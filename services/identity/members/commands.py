"""What changes a member's account. Each change locks the account's row first and finds it active."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.common.caller import Caller
from services.common.db import Connection, execute
from services.common.etags import require_etag
from services.common.ids import new_id
from services.common.members import (
    Closed,
    ConsentChanged,
    FirstLogin,
    PhoneChanged,
    Registered,
    Restored,
    Suspended,
)
from services.common.sessions import SessionState
from services.identity.accounts import (
    Contact,
    OwnAccount,
    Place,
    close_account,
    count_change,
    deprive_of_email,
    lock_account,
    lock_contact,
    lock_own_account,
    lock_with_holder_of,
    remember_places,
    set_confirmed_email,
    set_member_status,
    set_phone,
)
from services.identity.audit import record_own
from services.identity.events import publish_member_events
from services.identity.keys import Vault
from services.identity.member_codes import new_member_code
from services.identity.members.proof import Proof, require_proof
from services.identity.members.queries import MemberRow, get_member, why_not_active
from services.identity.members.refusals import member_not_found
from services.identity.members.statements import MemberChanges, NewMember, change_profile, insert_member
from services.identity.messages import NoticeKind, Notices
from services.identity.otp import forget_confirmations_of, forget_otps_of, otp_not_valid, use_otp
from services.identity.sessions import (
    EndedSessions,
    OpenedSession,
    end_sessions,
    forget_devices,
    open_session,
)

_TOLD = frozenset({"status", "registered_from", "registered_until"})
"""Filters that name nobody."""


@dataclass(frozen=True)
class RegisteredMember:
    """The new member, logged in."""

    member: MemberRow
    session: OpenedSession

    @property
    def logins(self) -> SessionState:
        """Who is logged in now."""
        return self.session.logins


@dataclass(frozen=True)
class ChangedMember:
    """The member, and who is logged in now; None when nothing changed."""

    member: MemberRow
    logins: SessionState | None


async def register_member(
    connection: Connection,
    vault: Vault,
    notices: Notices,
    *,
    new: NewMember,
    device_id: str,
    session_seconds: int,
    language: str,
    place: Place | None = None,
) -> RegisteredMember:
    """Makes an account, logs its member in, and publishes that to the other services.

    Registering logs the member in, so it is also the first login. A confirmed e-mail address is taken from an
    account that has it unconfirmed. Raises OTP_NOT_VALID, and PHONE_TAKEN, USER_NAME_TAKEN and EMAIL_TAKEN
    (by constraint).
    """
    member_id = new_id()
    if new.email and new.email_confirmed:
        await _take_from_holder(connection, notices, new.email, language)
    await insert_member(connection, member_id, new, new_member_code())
    if new.otp_id is not None:  # after the account, as all do: who gives a number up holds its account
        await use_otp(connection, new.otp_id)
    phone_hash = vault.hash_phone(new.phone) if new.phone else None
    await publish_member_events(connection, member_id, Registered, FirstLogin, phone_hash=phone_hash)
    session = await open_session(
        connection, account_id=member_id, device_id=device_id, most=1, seconds=session_seconds
    )
    if place:
        await remember_places(connection, member_id, place.hashes(vault, member_id))
    return RegisteredMember(await get_member(connection, member_id), session)


async def update_member(
    connection: Connection,
    notices: Notices,
    *,
    member_id: UUID,
    changes: MemberChanges,
    proof: Proof | None,
    language: str,
) -> MemberRow:
    """Changes a member's own account. Another e-mail address is pending until it is confirmed.

    One-time passwords of an address that is emptied are void. A changed way in needs a proof, and is told to
    the member; a proof that is given is used up in any case.

    Raises PROOF_REQUIRED, CURRENT_PASSWORD_NOT_VALID, OTP_NOT_VALID, ACCOUNT_SUSPENDED, ACCOUNT_CLOSED, and
    by constraint USER_NAME_TAKEN and VALIDATION_FAILED when no way to log in would remain.
    """
    account = await _lock(connection, member_id)
    kinds = []
    if changes.changes_user_name(account):
        kinds.append(NoticeKind.USER_NAME_CHANGED)
    if changes.empties_email(account):
        kinds.append(NoticeKind.EMAIL_CHANGED)
    if kinds or changes.wants_email(account) or proof:
        await require_proof(connection, account, proof)
    await change_profile(connection, member_id, changes)
    if changes.empties_email(account):
        await forget_otps_of(connection, email=account.email)
    for kind in kinds:
        await notices.tell(connection, member_id=member_id, kind=kind, to=account.proven, language=language)
    return await get_member(connection, member_id)


async def confirm_email(
    connection: Connection, notices: Notices, *, member_id: UUID, email: str, otp_id: UUID, language: str
) -> MemberRow:
    """Makes the address that the one-time password proved the account's confirmed one.

    It is the address that the account has, or the pending one. That one takes the place of the other, whose
    one-time passwords are void, and is taken from an account that has it unconfirmed.

    Raises ACCOUNT_SUSPENDED, ACCOUNT_CLOSED, EMAIL_TAKEN by constraint when another account has it confirmed,
    and OTP_NOT_VALID when the account neither has nor wants this address, also since a moment ago, or another
    call was first.
    """
    account = await lock_with_holder_of(connection, member_id, email)
    if account is None:
        raise await why_not_active(connection, member_id)
    if email not in (account.email, account.pending_email):
        raise otp_not_valid()
    if email != account.email:
        await _take_from_holder(connection, notices, email, language)
    await set_confirmed_email(connection, member_id, email)
    await use_otp(connection, otp_id)
    if email != account.email:
        if account.email:
            await forget_otps_of(connection, email=account.email)
        await notices.tell(
            connection,
            member_id=member_id,
            kind=NoticeKind.EMAIL_CHANGED,
            to=account.proven,
            language=language,
        )
    return await get_member(connection, member_id)


async def _take_from_holder(connection: Connection, notices: Notices, email: str, language: str) -> None:
    """Takes a proven address from the account that has it unconfirmed, if any, and tells its number."""
    # A name that nobody can have taken before, or the account could keep the address by it.
    deprived = await deprive_of_email(connection, email, f"member-{secrets.token_hex(8)}")
    if deprived:
        await notices.tell(
            connection,
            member_id=deprived.id,
            kind=NoticeKind.EMAIL_CHANGED,
            to=Contact(deprived.phone, None),
            language=language,
        )


async def change_phone(
    connection: Connection,
    vault: Vault,
    notices: Notices,
    *,
    member_id: UUID,
    phone: str,
    otp_id: UUID,
    proof: Proof | None,
    language: str,
) -> MemberRow:
    """Gives the account the number that the one-time password proved, publishes that, and tells the old one.

    One-time passwords of the old number are void. Raises PROOF_REQUIRED, CURRENT_PASSWORD_NOT_VALID,
    OTP_NOT_VALID, ACCOUNT_SUSPENDED, ACCOUNT_CLOSED, and PHONE_TAKEN (by constraint).
    """
    account = await _lock(connection, member_id)
    await require_proof(connection, account, proof)
    await set_phone(connection, member_id, phone)
    await use_otp(connection, otp_id)
    if phone != account.phone:
        if account.phone:
            await forget_otps_of(connection, phone=account.phone)
        await publish_member_events(connection, member_id, PhoneChanged, phone_hash=vault.hash_phone(phone))
        await notices.tell(
            connection,
            member_id=member_id,
            kind=NoticeKind.PHONE_CHANGED,
            to=account.proven,
            language=language,
        )
    return await get_member(connection, member_id)


async def _lock(connection: Connection, member_id: UUID) -> OwnAccount:
    """Returns the member's account, locked. Raises ACCOUNT_SUSPENDED and ACCOUNT_CLOSED."""
    account = await lock_own_account(connection, member_id)
    if account is None:
        raise await why_not_active(connection, member_id)
    return account


async def set_consent(
    connection: Connection, vault: Vault, *, member_id: UUID, shares_contact: bool, wording: str
) -> MemberRow:
    """Keeps the member's consent, to which wording and when, and publishes it.

    Idempotent. Raises ACCOUNT_SUSPENDED and ACCOUNT_CLOSED.
    """
    # The account is locked first, so that one that is being closed keeps nothing of this.
    contact = await lock_contact(connection, member_id)
    if contact is None:
        raise await why_not_active(connection, member_id)
    changed = await execute(
        connection,
        """
        UPDATE members SET
          shares_contact = %(shares_contact)s, consent_wording = %(wording)s, consent_at = now()
        WHERE id = %(id)s
          AND (shares_contact, consent_wording) IS DISTINCT FROM (%(shares_contact)s, %(wording)s)
        """,
        id=member_id,
        shares_contact=shares_contact,
        wording=wording,
    )
    if changed:
        await count_change(connection, member_id)
        phone_hash = _phone_hash(vault, contact)
        await publish_member_events(connection, member_id, ConsentChanged, phone_hash=phone_hash)
    return await get_member(connection, member_id)


async def close_member(
    connection: Connection,
    vault: Vault,
    notices: Notices,
    *,
    member_id: UUID,
    proof: Proof | None,
    language: str,
) -> EndedSessions:
    """Ends the account for good: erases who its member was, ends all logins, publishes that.

    What stays is the id, which names nobody, in the event a keyed hash of the phone number, and for some days
    the notice of it. The member code gives way to one that nobody has seen. Raises PROOF_REQUIRED,
    CURRENT_PASSWORD_NOT_VALID, OTP_NOT_VALID, ACCOUNT_SUSPENDED and ACCOUNT_CLOSED.
    """
    account = await _lock(connection, member_id)
    await require_proof(connection, account, proof)
    await close_account(connection, member_id)
    await execute(
        connection,
        """
        UPDATE members SET
          full_name = '', birthday = NULL, member_code = %(code)s, shares_contact = false,
          consent_wording = NULL, consent_at = NULL
        WHERE id = %(id)s
        """,
        id=member_id,
        code=new_member_code(),
    )
    await forget_otps_of(connection, phone=account.phone, email=account.email)
    if account.pending_email:
        await forget_confirmations_of(connection, account.pending_email)
    await publish_member_events(connection, member_id, Closed, phone_hash=_phone_hash(vault, account))
    await notices.tell(
        connection,
        member_id=member_id,
        kind=NoticeKind.ACCOUNT_CLOSED,
        to=account.proven,
        language=language,
    )
    ended = await end_sessions(connection, account_id=member_id)
    await forget_devices(connection, member_id)
    return ended


async def suspend_member(
    connection: Connection, vault: Vault, *, actor: Caller, member_id: UUID, reason: str, etag: str = ""
) -> ChangedMember:
    """Keeps a member out and ends all of the member's logins; one who is out already stays so.

    Raises MEMBER_NOT_FOUND, also for one whose account is closed, and ETAG_MISMATCH.
    """
    await _require_unchanged(connection, member_id, etag)
    contact = await set_member_status(connection, member_id, "SUSPENDED")
    if contact is None:
        return await _unchanged(connection, member_id)
    phone_hash = _phone_hash(vault, contact)
    await publish_member_events(connection, member_id, Suspended, phone_hash=phone_hash)
    await record_own(connection, actor, "member.suspended", member_id, reason=reason)
    ended = await end_sessions(connection, account_id=member_id)
    return ChangedMember(await get_member(connection, member_id), ended.logins)


async def restore_member(
    connection: Connection, vault: Vault, *, actor: Caller, member_id: UUID, reason: str, etag: str = ""
) -> ChangedMember:
    """Lets a suspended member in again; one who is in already stays so.

    Raises MEMBER_NOT_FOUND, also for one whose account is closed, and ETAG_MISMATCH.
    """
    await _require_unchanged(connection, member_id, etag)
    contact = await set_member_status(connection, member_id, "ACTIVE")
    if contact is None:
        return await _unchanged(connection, member_id)
    phone_hash = _phone_hash(vault, contact)
    await publish_member_events(connection, member_id, Restored, phone_hash=phone_hash)
    await record_own(connection, actor, "member.restored", member_id, reason=reason)
    ended = await end_sessions(connection, account_id=member_id)
    return ChangedMember(await get_member(connection, member_id), ended.logins)


async def record_export(connection: Connection, *, actor: Caller, wanted: Mapping[str, object]) -> None:
    """Keeps that somebody exports members, and which; of a search not the text, which may be a name."""
    told = {name: str(value) for name, value in wanted.items() if name in _TOLD}
    searched = len(told) < len(wanted)
    await record_own(connection, actor, "member.exported", "", filters=told, searched=searched)


async def _require_unchanged(connection: Connection, member_id: UUID, etag: str) -> None:
    """Raises ETAG_MISMATCH when the member is not as it was read, and keeps it from changing."""
    if etag:
        await lock_account(connection, member_id)
        require_etag(etag, (await get_member(connection, member_id)).etag, of="member")


async def _unchanged(connection: Connection, member_id: UUID) -> ChangedMember:
    member = await get_member(connection, member_id)
    if member.status == "CLOSED":
        raise member_not_found(member_id)
    return ChangedMember(member, None)


def _phone_hash(vault: Vault, contact: Contact | OwnAccount) -> bytes | None:
    return vault.hash_phone(contact.phone) if contact.phone else None
