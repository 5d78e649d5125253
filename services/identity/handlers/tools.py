"""What handlers need beside the database."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.throttle import Throttle
from services.identity.logins import Logins
from services.identity.otp_sender import OtpSender
from services.identity.passwords import Passwords
from services.identity.proof import Proof
from services.identity.secrets_at_rest import Vault
from services.identity.settings import Settings
from services.identity.tokens import TokenIssuer


@dataclass(frozen=True)
class Tools:
    """Built once, in the composition root."""

    settings: Settings
    vault: Vault
    sender: OtpSender
    passwords: Passwords
    issuer: TokenIssuer
    throttle: Throttle
    proof: Proof
    logins: Logins
