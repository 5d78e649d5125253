"""One-time passwords: making, sending and trying them, and proving to own what they were sent to.

Owns the tables `otps`, `otp_deliveries` (codes that wait to be sent) and `sandbox_otps`.
"""

from services.identity.otp.commands import forget_confirmations_of as forget_confirmations_of
from services.identity.otp.commands import forget_otps_of as forget_otps_of
from services.identity.otp.commands import otp_not_valid as otp_not_valid
from services.identity.otp.commands import use_otp as use_otp
from services.identity.otp.proof import PER_RECIPIENT as PER_RECIPIENT
from services.identity.otp.proof import OtpProof as OtpProof
from services.identity.otp.sender import SEND_JOB as SEND_JOB
from services.identity.otp.sender import SEND_QUEUE as SEND_QUEUE

__all__ = [
    "PER_RECIPIENT",
    "SEND_JOB",
    "SEND_QUEUE",
    "OtpProof",
    "forget_confirmations_of",
    "forget_otps_of",
    "otp_not_valid",
    "use_otp",
]
