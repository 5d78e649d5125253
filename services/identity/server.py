"""Serves identity: every feature is built here and passed in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from scrip.identity.internal.v1 import identity_pb2_grpc
from scrip.identity.v1 import (
    audit_pb2_grpc,
    auth_pb2_grpc,
    client_pb2_grpc,
    look_up_pb2_grpc,
    member_pb2_grpc,
    myself_pb2_grpc,
    operations_pb2,
    operations_pb2_grpc,
    sandbox_pb2_grpc,
    staff_pb2_grpc,
)

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis
from services.common.channels import open_channel
from services.common.db import Database
from services.common.errors import DomainError
from services.common.housekeeping import repeat
from services.common.operations_handlers import OperationsHandlers
from services.common.server import Service, Servicer, run_server, servicer
from services.common.sessions import SessionCache, SessionGate
from services.common.throttle import Throttle
from services.identity.accounts import Guesses
from services.identity.audit import record_own
from services.identity.audit.handlers import AuditForwardingHandlers, AuditHandlers
from services.identity.keys import read_jwks
from services.identity.keys.handlers import KeyHandlers, ServiceTokenHandlers
from services.identity.logins.handlers import LoginHandlers
from services.identity.look_ups.belongings import BelongingsReader
from services.identity.look_ups.handlers import LookUpHandlers
from services.identity.member_codes.handlers import MemberCodeHandlers, MyCodeHandlers
from services.identity.members import code_owners, get_member_code, resolve_member_codes
from services.identity.members.admin_handlers import MemberAdminHandlers
from services.identity.members.contact_handlers import ContactHandlers
from services.identity.members.handlers import MemberHandlers
from services.identity.members.registration_handlers import RegistrationHandlers
from services.identity.members.state_handlers import MemberStateHandlers
from services.identity.members.step_up import StepUp
from services.identity.messages import Notices, choose_sender
from services.identity.messages.gift_handlers import GiftNoticeHandlers
from services.identity.messages.handlers import NoticeHandlers, SandboxNoticeHandlers
from services.identity.myself.allowed_rpcs import allowed_rpcs
from services.identity.myself.handlers import MyselfHandlers
from services.identity.otp import OtpProof
from services.identity.otp.handlers import OtpDeliveryHandlers, OtpHandlers, SandboxHandlers
from services.identity.parts import Parts, build
from services.identity.passwords import PasswordProof, Passwords
from services.identity.passwords.handlers import PasswordHandlers
from services.identity.sessions import Logins, RefreshCookies, SessionTokens
from services.identity.sessions.handlers import SessionCheckHandlers, SessionHandlers
from services.identity.settings import Settings
from services.identity.staff import bootstrap_admin, has_staff
from services.identity.staff.brands import Brands
from services.identity.staff.handlers import StaffHandlers
from services.identity.tills.handlers import TillHandlers
from services.identity.tills.proof import TillProof
from services.identity.tills.token_handlers import TillTokenHandlers

log = logging.getLogger(__name__)

KEY_READ_SECONDS = 10
"""How often keys are read: a new one is published for far longer before it signs."""
_SANDBOX = "scrip.identity.v1.SandboxService"
_SANDBOXES = (_SANDBOX, "scrip.vouchers.v1.SandboxPaymentService")


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """The service, built."""
    async with build(settings) as parts:
        db = parts.db
        redis = Redis(settings.redis_url, settings.redis_seconds)
        passwords = Passwords(settings.password_memory_kib)
        await _bootstrap(db, passwords, settings)
        key_ring = KeyRing(partial(db.read, read_jwks))
        cache = SessionCache(redis)
        logins = Logins(db, cache)
        targets = {
            "points": settings.points_target,
            "vouchers": settings.vouchers_target,
            "promos": settings.promos_target,
        }
        channels = {name: open_channel(target) for name, target in targets.items()}
        belongings = BelongingsReader(channels, parts.issuer.own_token)
        brands = Brands(channels["promos"], parts.issuer.own_token)
        try:
            yield Service(
                _servicers(
                    settings,
                    parts,
                    logins,
                    passwords,
                    Throttle(redis, parts.vault.throttle_key),
                    belongings=belongings,
                    brands=brands,
                ),
                TokenVerifier(key_ring),
                SessionGate(cache, logins.check),
                checks=[schema.at_head("identity", db), key_ring.known],
                loops=[
                    key_ring.keep_fresh,
                    partial(repeat, KEY_READ_SECONDS, parts.keys.refresh),
                    logins.keep_lease,
                ],
            )
        finally:
            for channel in channels.values():
                await channel.close()
            await redis.close()


def _servicers(
    settings: Settings,
    parts: Parts,
    logins: Logins,
    passwords: Passwords,
    throttle: Throttle,
    *,
    belongings: BelongingsReader,
    brands: Brands,
) -> list[Servicer]:
    db, vault, issuer = parts.db, parts.vault, parts.issuer
    guesses = Guesses(db, vault, throttle)
    otp_proof = OtpProof(db, vault, guesses)
    password_proof = PasswordProof(db, passwords, guesses, settings.default_region)
    tokens = SessionTokens(issuer, settings.access_seconds)
    cookies = RefreshCookies(secure=settings.cookie_secure)
    sender = choose_sender(settings)
    notices = Notices(vault, sender)
    served = [
        servicer(
            "scrip.identity.v1.AuthService",
            auth_pb2_grpc.add_AuthServiceServicer_to_server,
            OtpHandlers(db, settings, vault, sender, throttle),
            RegistrationHandlers(
                settings,
                vault,
                throttle,
                notices=notices,
                logins=logins,
                tokens=tokens,
                cookies=cookies,
                passwords=passwords,
                otp_proof=otp_proof,
            ),
            LoginHandlers(
                db,
                settings,
                logins,
                tokens,
                vault=vault,
                cookies=cookies,
                password_proof=password_proof,
                otp_proof=otp_proof,
            ),
            SessionHandlers(logins, tokens, vault, cookies),
            PasswordHandlers(logins, notices, passwords, password_proof=password_proof, otp_proof=otp_proof),
            TillTokenHandlers(TillProof(db, throttle), issuer, settings.client_token_seconds),
            KeyHandlers(db),
        ),
        servicer(
            "scrip.identity.v1.MemberService",
            member_pb2_grpc.add_MemberServiceServicer_to_server,
            MemberHandlers(
                db,
                vault,
                logins,
                notices,
                otp_proof=otp_proof,
                step_up=StepUp(password_proof, otp_proof),
            ),
            MyCodeHandlers(vault, lambda member_id: db.read(get_member_code, member_id)),
        ),
        servicer(
            "scrip.identity.v1.MemberAdminService",
            member_pb2_grpc.add_MemberAdminServiceServicer_to_server,
            MemberAdminHandlers(db, vault, logins, settings.default_region),
            OtpDeliveryHandlers(db),
            NoticeHandlers(db),
        ),
        servicer(
            "scrip.identity.v1.LookUpService",
            look_up_pb2_grpc.add_LookUpServiceServicer_to_server,
            LookUpHandlers(db, settings, vault, throttle, belongings),
        ),
        servicer(
            "scrip.identity.v1.MyselfService",
            myself_pb2_grpc.add_MyselfServiceServicer_to_server,
            MyselfHandlers(db, allowed_rpcs(() if settings.sandbox else _SANDBOXES)),
        ),
        servicer(
            "scrip.identity.v1.StaffService",
            staff_pb2_grpc.add_StaffServiceServicer_to_server,
            StaffHandlers(db, passwords, logins, brands),
        ),
        servicer(
            "scrip.identity.v1.ClientService",
            client_pb2_grpc.add_ClientServiceServicer_to_server,
            TillHandlers(db, logins),
        ),
        servicer(
            "scrip.identity.v1.AuditService",
            audit_pb2_grpc.add_AuditServiceServicer_to_server,
            AuditHandlers(db),
        ),
        servicer(
            "scrip.identity.v1.IdentityOperationsService",
            operations_pb2_grpc.add_IdentityOperationsServiceServicer_to_server,
            OperationsHandlers(db, operations_pb2, record_own),
        ),
        servicer(
            "scrip.identity.internal.v1.IdentityInternalService",
            identity_pb2_grpc.add_IdentityInternalServiceServicer_to_server,
            ServiceTokenHandlers(issuer, settings.service_secret_hashes),
            SessionCheckHandlers(logins),
            MemberCodeHandlers(
                vault,
                lambda codes: db.read(resolve_member_codes, codes),
                lambda member_ids: db.read(code_owners, member_ids),
            ),
            ContactHandlers(db),
            MemberStateHandlers(db),
            GiftNoticeHandlers(db, settings, vault, sender, throttle),
            AuditForwardingHandlers(db),
        ),
    ]
    if settings.sandbox:
        served.append(
            servicer(
                _SANDBOX,
                sandbox_pb2_grpc.add_SandboxServiceServicer_to_server,
                SandboxHandlers(db),
                SandboxNoticeHandlers(db),
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
    """Serves until `stop` is set."""
    async with compose(settings) as service:
        await run_server(service, settings, stop)
