"""What handlers need beside the database."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.throttle import Throttle
from services.identity.keys.secrets_at_rest import Vault
from services.identity.logins.logins import Logins
from services.identity.logins.proof import Proof
from services.identity.logins.tokens import TokenIssuer
from services.identity.otp.sender import OtpSender
from services.identity.passwords.passwords import Passwords
from services.identity.settings import Settings


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
