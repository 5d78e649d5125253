"""Proving anew who one is, before a way in to the account is changed or the account is closed.

A token alone does not do for it: one that was stolen would take the account for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from scrip.identity.v1 import auth_pb2, otp_pb2

from services.common.errors import DomainError
from services.identity.accounts import current_password_not_valid
from services.identity.members.proof import Proof
from services.identity.otp import OtpProof
from services.identity.passwords import PasswordProof

_STEP_UP = auth_pb2.OtpPurpose.Name(auth_pb2.OTP_PURPOSE_STEP_UP)


@dataclass(frozen=True)
class StepUp:
    """Judges proofs. Whether one is of the present owner is decided where it is used, by `require_proof`."""

    passwords: PasswordProof
    otps: OtpProof

    async def judge(self, account_id: UUID, given: otp_pb2.Proof) -> Proof | None:
        """Returns what a proof proves, or None when there is none.

        Raises CURRENT_PASSWORD_NOT_VALID, PASSWORD_NOT_SET, OTP_NOT_VALID, OTP_EXPIRED, OTP_TRIES_EXHAUSTED
        and TOO_MANY_REQUESTS: wrong proofs count as wrong passwords and codes do everywhere.
        """
        match given.WhichOneof("proof"):
            case "password":
                return Proof(password_hash=await self._password(account_id, given.password))
            case "otp":
                otp_id = UUID(given.otp.otp_id)
                recipient = await self.otps.recipient(otp_id, given.otp.code, _STEP_UP)
                return Proof(otp_id=otp_id, recipient=recipient)
        return None

    async def _password(self, account_id: UUID, password: str) -> str | None:
        try:
            return (await self.passwords.password_of(account_id, password)).password_hash
        except DomainError as error:
            if error.reason == "CREDENTIALS_NOT_VALID":
                raise current_password_not_valid() from error
            raise
