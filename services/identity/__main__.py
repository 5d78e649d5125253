"""Identity's composition root: everything is built here and passed in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from scrip.identity.internal.v1 import identity_pb2_grpc
from scrip.identity.v1 import (
    audit_pb2_grpc,
    auth_pb2_grpc,
    client_pb2_grpc,
    member_pb2_grpc,
    sandbox_pb2_grpc,
    staff_pb2_grpc,
)

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis
from services.common.db import Database
from services.common.errors import DomainError, invalid_field
from services.common.housekeeping import repeat
from services.common.process import main
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.identity.accounts import Guesses
from services.identity.audit.handlers import AuditForwardingHandlers, AuditHandlers
from services.identity.keys import SigningKeys, TokenIssuer, Vault, add_signing_key, read_jwks
from services.identity.keys.handlers import KeyHandlers, ServiceTokenHandlers
from services.identity.logins.handlers import LoginHandlers
from services.identity.member_codes.handlers import MemberCodeHandlers, MyCodeHandlers
from services.identity.members import active_members, get_member_code, resolve_member_codes
from services.identity.members.admin_handlers import MemberAdminHandlers
from services.identity.members.handlers import MemberHandlers
from services.identity.members.registration_handlers import RegistrationHandlers
from services.identity.otp import OtpProof, choose_sender
from services.identity.otp.handlers import OtpDeliveryHandlers, OtpHandlers, SandboxHandlers
from services.identity.passwords import PasswordProof, Passwords
from services.identity.passwords.handlers import PasswordHandlers
from services.identity.sessions import Logins, SessionTokens
from services.identity.sessions.handlers import SessionCheckHandlers, SessionHandlers
from services.identity.settings import Settings
from services.identity.staff import bootstrap_admin, has_staff
from services.identity.staff.handlers import StaffHandlers
from services.identity.tills.handlers import TillHandlers
from services.identity.tills.proof import TillProof
from services.identity.tills.token_handlers import TillTokenHandlers

log = logging.getLogger(__name__)

KEY_READ_SECONDS = 10
"""How often keys are read: a new one is published for far longer before it signs."""

OTPS_AT_A_TIME = 20
"""One-time passwords that a worker sends at a time."""
EVENTS_AT_A_TIME = 4
"""Members whose events a worker sends to a service at a time."""

CONSTRAINTS = {
    "uq_accounts_phone": lambda: DomainError(
        "PHONE_TAKEN", "this phone number has an account; log in instead"
    ),
    "uq_accounts_user_name": lambda: DomainError("USER_NAME_TAKEN", "this user name is taken"),
    "uq_accounts_email": lambda: DomainError("EMAIL_TAKEN", "this e-mail address has an account"),
    "ck_accounts_way_in": lambda: invalid_field("clear", "a way to log in must remain"),
}


def open_database(settings: Settings) -> Database:
    """Identity's own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size, constraints=CONSTRAINTS)


@dataclass(frozen=True)
class _Parts:
    """What server, worker and commands share."""

    db: Database
    vault: Vault
    keys: SigningKeys
    issuer: TokenIssuer


@asynccontextmanager
async def _build(settings: Settings) -> AsyncIterator[_Parts]:
    db = open_database(settings)
    vault = Vault(settings.master_key.get_secret_value())
    keys = SigningKeys(db, vault)
    try:
        await keys.refresh()
        yield _Parts(db, vault, keys, TokenIssuer(keys))
    finally:
        await db.close()


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """The service, built."""
    async with _build(settings) as parts:
        db = parts.db
        redis = Redis(settings.redis_url, settings.redis_seconds)
        passwords = Passwords(settings.password_memory_kib)
        await _bootstrap(db, passwords, settings)
        key_ring = KeyRing(partial(db.read, read_jwks))
        cache = SessionCache(redis)
        logins = Logins(db, cache)
        try:
            yield Service(
                _servicers(settings, parts, logins, passwords, Throttle(redis)),
                TokenVerifier(key_ring),
                SessionGate(cache, logins.check),
                checks=[schema.at_head("identity", db), key_ring.known],
                loops=[
                    key_ring.keep_fresh,
                    partial(repeat, KEY_READ_SECONDS, parts.keys.refresh),
                    logins.keep_vouching,
                ],
            )
        finally:
            await redis.close()


def _servicers(
    settings: Settings, parts: _Parts, logins: Logins, passwords: Passwords, throttle: Throttle
) -> list[Servicer]:
    db, vault, issuer = parts.db, parts.vault, parts.issuer
    guesses = Guesses(throttle)
    otp_proof = OtpProof(db, vault, guesses)
    password_proof = PasswordProof(db, passwords, guesses, settings.default_region)
    tokens = SessionTokens(issuer, settings.access_seconds)
    served = [
        servicer(
            "scrip.identity.v1.AuthService",
            auth_pb2_grpc.add_AuthServiceServicer_to_server,
            OtpHandlers(db, settings, vault, choose_sender(settings, vault), throttle),
            RegistrationHandlers(
                settings,
                vault,
                throttle,
                logins=logins,
                tokens=tokens,
                passwords=passwords,
                otp_proof=otp_proof,
            ),
            LoginHandlers(db, settings, logins, tokens, password_proof=password_proof, otp_proof=otp_proof),
            SessionHandlers(logins, tokens, vault),
            PasswordHandlers(logins, passwords, password_proof, otp_proof),
            TillTokenHandlers(TillProof(db, throttle), issuer, settings.client_token_seconds),
            KeyHandlers(db),
        ),
        servicer(
            "scrip.identity.v1.MemberService",
            member_pb2_grpc.add_MemberServiceServicer_to_server,
            MemberHandlers(db, vault, otp_proof, logins),
            MyCodeHandlers(vault, lambda member_id: db.read(get_member_code, member_id)),
        ),
        servicer(
            "scrip.identity.v1.MemberAdminService",
            member_pb2_grpc.add_MemberAdminServiceServicer_to_server,
            MemberAdminHandlers(db, vault, logins, settings.default_region),
            OtpDeliveryHandlers(db),
        ),
        servicer(
            "scrip.identity.v1.StaffService",
            staff_pb2_grpc.add_StaffServiceServicer_to_server,
            StaffHandlers(db, passwords, logins),
        ),
        servicer(
            "scrip.identity.v1.ClientService",
            client_pb2_grpc.add_ClientServiceServicer_to_server,
            TillHandlers(db),
        ),
        servicer(
            "scrip.identity.v1.AuditService",
            audit_pb2_grpc.add_AuditServiceServicer_to_server,
            AuditHandlers(db),
        ),
        servicer(
            "scrip.identity.internal.v1.IdentityInternalService",
            identity_pb2_grpc.add_IdentityInternalServiceServicer_to_server,
            ServiceTokenHandlers(issuer, settings.service_secret_hashes),
            SessionCheckHandlers(logins),
            MemberCodeHandlers(
                vault,
                lambda codes: db.read(resolve_member_codes, codes),
                lambda member_ids: db.read(active_members, member_ids),
            ),
            AuditForwardingHandlers(db),
        ),
    ]
    if settings.sandbox:
        served.append(
            servicer(
                "scrip.identity.v1.SandboxService",
                sandbox_pb2_grpc.add_SandboxServiceServicer_to_server,
                SandboxHandlers(db),
            )
        )
    return served


async def _bootstrap(db: Database, passwords: Passwords, settings: Settings) -> None:
    """Makes the first admin, when there is no staff and a password was given."""
    if await db.read(has_staff):
        return
    password = settings.admin_password.get_secret_value()
    if not password:
        log.warning("there is no staff; set SCRIP_ADMIN_PASSWORD and start again to make the first admin")
        return
    try:
        hashed = await passwords.hash_new(password)
    except DomainError as error:
        raise SystemExit(f"SCRIP_ADMIN_PASSWORD can not be the first admin's: {error.message}") from None
    made = await db.run(bootstrap_admin, user_name=settings.admin_user_name, password_hash=hashed)
    if not made and not await db.read(has_staff):
        log.error("there is no staff: a member has the user name in SCRIP_ADMIN_USER_NAME; set another one")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until told to stop."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Does jobs and chores until told to stop."""
    # A server needs none of these.
    from services.common.channels import open_channel  # noqa: PLC0415
    from services.common.jobs import DEFAULT_QUEUE  # noqa: PLC0415
    from services.common.worker import run_worker  # noqa: PLC0415
    from services.identity import jobs  # noqa: PLC0415
    from services.identity.events import EVENT_QUEUES  # noqa: PLC0415
    from services.identity.events.client import member_event_sender  # noqa: PLC0415
    from services.identity.otp import SEND_QUEUE  # noqa: PLC0415
    from services.identity.otp.transports import open_transport  # noqa: PLC0415

    async with _build(settings) as parts:
        targets = {
            "points": settings.points_target,
            "vouchers": settings.vouchers_target,
            "promos": settings.promos_target,
        }
        channels = {name: open_channel(target) for name, target in targets.items()}
        events = member_event_sender(channels, parts.issuer.own_token)
        tasks = jobs.tasks(parts.db, events, parts.vault, open_transport(settings), settings.otp_text)
        redis = Redis(settings.redis_url, settings.redis_seconds)
        logins = Logins(parts.db, SessionCache(redis))
        # Idle as it mostly is, it vouches in time when the servers are too busy, or gone.
        chores = [*jobs.loops(parts.db, parts.vault, parts.keys, settings), logins.keep_vouching]
        try:
            queues = {SEND_QUEUE: OTPS_AT_A_TIME, **dict.fromkeys(EVENT_QUEUES.values(), EVENTS_AT_A_TIME)}
            queues[DEFAULT_QUEUE] = 1  # nothing is put there now
            await run_worker(settings.database_url, tasks, stop, queues=queues, loops=chores)
        finally:
            await redis.close()
            for channel in channels.values():
                await channel.close()


async def rotate_keys(settings: Settings, _: asyncio.Event) -> None:
    """Makes the next signing key now: `python -m services.identity rotate-keys`."""
    async with _build(settings) as parts:
        key_id = await parts.db.run(add_signing_key, parts.vault, lead_seconds=settings.key_lead_seconds)
        log.info("key %s signs in %d s", key_id, settings.key_lead_seconds)


if __name__ == "__main__":
    main("identity", Settings, serve, work, {"rotate-keys": rotate_keys})
