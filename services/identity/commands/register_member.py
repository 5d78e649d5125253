"""Making an account."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from services.common import jobs
from services.common.db import Connection
from services.common.ids import new_id
from services.identity.commands.try_otp import use_otp
from services.identity.member_codes import new_member_code
from services.identity.queries import MemberRow

LISTENERS = ("points", "vouchers", "promos")
DELIVER_JOB = "deliver_member_events"
REGISTERED, FIRST_LOGIN = "REGISTERED", "FIRST_LOGIN"


async def register_member(connection: Connection, *, otp_id: UUID, phone: str, full_name: str) -> MemberRow:
    """Makes the account of a proven phone number, and tells the other services.

    Registering logs the member in, so it is also the first login. Raises PHONE_TAKEN (by constraint)
    and OTP_NOT_VALID.
    """
    await use_otp(connection, otp_id)
    member_id = new_id()
    result = await connection.execute(
        text(
            "INSERT INTO members (id, full_name, phone, member_code, event_version)"
            " VALUES (:id, :full_name, :phone, :member_code, 2) RETURNING registered_at"
        ),
        {"id": member_id, "full_name": full_name, "phone": phone, "member_code": new_member_code()},
    )
    await connection.execute(
        text(
            "INSERT INTO member_events (member_id, version, id, type)"
            " VALUES (:member_id, :version, :id, :type)"
        ),
        [
            {"member_id": member_id, "version": 1, "id": new_id(), "type": REGISTERED},
            {"member_id": member_id, "version": 2, "id": new_id(), "type": FIRST_LOGIN},
        ],
    )
    for service in LISTENERS:
        await jobs.defer(
            connection,
            DELIVER_JOB,
            lock=f"{service}:{member_id}",  # the events of a member reach a service one after the other
            service=service,
            member_id=str(member_id),
        )
    return MemberRow(member_id, full_name, phone, result.scalar_one())
