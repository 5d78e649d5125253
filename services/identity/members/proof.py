"""Whether what was proven anew is that of the present owner of an account."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection
from services.identity.accounts import OwnAccount, Recipient, current_password_not_valid
from services.identity.members.refusals import proof_required
from services.identity.otp import otp_not_valid, use_otp


@dataclass(frozen=True)
class Proof:
    """To know the password with this hash, or to own what the one-time password was sent to."""

    password_hash: str | None = None
    otp_id: UUID | None = None
    recipient: Recipient | None = None


async def require_proof(connection: Connection, account: OwnAccount, proof: Proof | None) -> None:
    """Requires a proof of the present owner of a locked account, and uses a one-time password up.

    Raises PROOF_REQUIRED when there is none; CURRENT_PASSWORD_NOT_VALID when the password was changed since;
    OTP_NOT_VALID when it was sent to a number or an address that is not this account's, or another call used
    it.
    """
    if proof is None:
        raise proof_required(account.proof_methods)
    if proof.otp_id is None:
        if proof.password_hash != account.password_hash:
            raise current_password_not_valid()
        return
    if proof.recipient not in (Recipient(phone=account.proven.phone), Recipient(email=account.proven.email)):
        raise otp_not_valid()
    await use_otp(connection, proof.otp_id)
