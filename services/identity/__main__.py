"""Identity's composition root: everything is built here and passed in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from scrip.common.v1 import permission_pb2  # noqa: F401  # registers the option that handlers declare
from scrip.identity.internal.v1 import identity_pb2_grpc
from scrip.identity.v1 import (
    audit_pb2_grpc,
    auth_pb2_grpc,
    client_pb2_grpc,
    member_pb2_grpc,
    sandbox_pb2_grpc,
)

from services.common import schema
from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis
from services.common.channels import open_channel
from services.common.db import Database
from services.common.errors import DomainError
from services.common.jobs import run_worker
from services.common.process import main
from services.common.server import Service, Servicer, run_server
from services.common.throttle import Throttle
from services.identity import jobs, queries
from services.identity.clients import MemberEventsClient
from services.identity.commands.bootstrap_admin import bootstrap_admin
from services.identity.handlers.auth import AuthHandlers, AuthTools
from services.identity.handlers.internal import InternalHandlers
from services.identity.handlers.member import MemberHandlers
from services.identity.handlers.staff import AuditHandlers, ClientHandlers, SandboxHandlers
from services.identity.keys import ensure_signing_key, read_jwks
from services.identity.otp_sender import NoOtpSender, SandboxOtpSender
from services.identity.passwords import Passwords
from services.identity.secrets_at_rest import Vault
from services.identity.settings import Settings
from services.identity.tokens import TokenIssuer

log = logging.getLogger(__name__)

CONSTRAINTS = {
    "uq_members_phone": lambda: DomainError(
        "PHONE_TAKEN", "this phone number has an account; log in instead"
    ),
}


def open_database(settings: Settings) -> Database:
    """Identity's own database."""
    return Database(settings.database_url, pool_size=settings.database_pool_size, constraints=CONSTRAINTS)


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Service]:
    """The service, built."""
    vault = Vault(settings.master_key.get_secret_value())
    db = open_database(settings)
    redis = Redis(settings.redis_url)
    passwords = Passwords()
    await _bootstrap(db, passwords, settings)
    issuer = TokenIssuer(await db.run(ensure_signing_key, vault))
    keys = KeyRing(partial(db.read, read_jwks))
    sender = SandboxOtpSender() if settings.sandbox else NoOtpSender()
    auth_tools = AuthTools(vault, sender, passwords, issuer, Throttle(redis))
    secret_hashes = settings.service_secret_hashes

    servicers = [
        Servicer(
            "scrip.identity.v1.AuthService",
            auth_pb2_grpc.add_AuthServiceServicer_to_server,
            AuthHandlers(db, settings, auth_tools),
        ),
        Servicer(
            "scrip.identity.v1.MemberService",
            member_pb2_grpc.add_MemberServiceServicer_to_server,
            MemberHandlers(db),
        ),
        Servicer(
            "scrip.identity.v1.ClientService",
            client_pb2_grpc.add_ClientServiceServicer_to_server,
            ClientHandlers(db),
        ),
        Servicer(
            "scrip.identity.v1.AuditService",
            audit_pb2_grpc.add_AuditServiceServicer_to_server,
            AuditHandlers(db),
        ),
        Servicer(
            "scrip.identity.internal.v1.IdentityInternalService",
            identity_pb2_grpc.add_IdentityInternalServiceServicer_to_server,
            InternalHandlers(db, issuer, secret_hashes),
        ),
    ]
    if settings.sandbox:
        servicers.append(
            Servicer(
                "scrip.identity.v1.SandboxService",
                sandbox_pb2_grpc.add_SandboxServiceServicer_to_server,
                SandboxHandlers(db),
            )
        )
    try:
        yield Service(
            servicers,
            TokenVerifier(keys),
            checks=[schema.at_head("identity", db), keys.known],
            loops=[keys.keep_fresh],
        )
    finally:
        await redis.close()
        await db.close()


async def _bootstrap(db: Database, passwords: Passwords, settings: Settings) -> None:
    """Makes the first admin, when there is no staff and a password was given."""
    if await db.read(queries.has_staff):
        return
    password = settings.admin_password.get_secret_value()
    if not password:
        log.warning("there is no staff; set SCRIP_ADMIN_PASSWORD and start again to make the first admin")
        return
    hashed = await passwords.hash(password)
    await db.run(bootstrap_admin, user_name=settings.admin_user_name, password_hash=hashed)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    async with compose(settings) as service:
        await run_server(service, settings, stop)


async def work(settings: Settings, stop: asyncio.Event) -> None:
    db = open_database(settings)
    issuer = TokenIssuer(await db.run(ensure_signing_key, Vault(settings.master_key.get_secret_value())))
    targets = {
        "points": settings.points_target,
        "vouchers": settings.vouchers_target,
        "promos": settings.promos_target,
    }
    channels = {name: open_channel(target) for name, target in targets.items()}
    events = MemberEventsClient(channels, issuer.own_token)
    try:
        await run_worker(settings.database_url, jobs.tasks(db, events), stop, loops=jobs.loops(db))
    finally:
        for channel in channels.values():
            await channel.close()
        await db.close()


if __name__ == "__main__":
    main("identity", Settings, serve, work)
