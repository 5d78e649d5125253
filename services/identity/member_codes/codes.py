"""Member codes: what a till scans or a cashier types. A member has a lasting one and can ask for signed ones.

A lasting code is 12 characters of Crockford's base32 alphabet, which has no look-alikes. The last one is
the check character of ISO 7064 MOD 37,36 over the others: it catches every single wrong character and
nearly every swap of two neighbours.

A signed code is 61 characters, which a QR code of 29 modules a side holds:

    S1  39 characters                                           20 characters
        24 bytes: member id (16), issued (4), random (4)        12 bytes of HMAC-SHA-256 over `S1` and those

`issued` is in seconds since 1970, unsigned and big-endian, good until 2106. The middle part is the code's
id: two codes of one member in one second differ by 32 random bits. Nobody without identity's key can make
a code or change a character of one (96 bits, to be guessed online, through a till). It holds a member id,
which is good for nothing by itself, and not the lasting code, so a photograph of it gives nothing away.
That it is used in time and on one receipt only is for points to decide, which knows the sale.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.common.codes import ALPHABET, decode, encode, random_code
from services.identity.keys import Vault

LENGTH = 12
SIGNED_FOR = timedelta(seconds=60)

_PREFIX = "S1"
_BODY = struct.Struct(">16sI4s")
_BODY_END = len(_PREFIX) + 39
_SIGNED_LENGTH = _BODY_END + 20
_SIGNATURE_BYTES = 12


@dataclass(frozen=True, slots=True)
class CodeOwner:
    """The member who has a code, whose account is active or suspended."""

    member_id: UUID
    suspended: bool


@dataclass(frozen=True)
class SignedCode:
    """A signed member code: good from `issued_at` to `expires_at`."""

    text: str
    id: str
    member_id: UUID
    issued_at: datetime

    @property
    def expires_at(self) -> datetime:
        """When it stops being good."""
        return self.issued_at + SIGNED_FOR


def new_member_code() -> str:
    """Returns a random member code (55 bits)."""
    # Imported here because it takes 0.1 s, and codes are made when members register or leave.
    from stdnum.iso7064 import mod_37_36  # noqa: PLC0415

    while True:
        body = random_code(LENGTH - 1)
        check = mod_37_36.calc_check_digit(body)
        if check in ALPHABET:  # four of the 36 check characters look like others
            return body + check


def sign_member_code(vault: Vault, member_id: UUID, now: datetime) -> SignedCode:
    """Returns a new signed code of this member."""
    body = _BODY.pack(member_id.bytes, int(now.timestamp()), secrets.token_bytes(4))
    return _signed(vault, body)


def open_signed_code(vault: Vault, text: str) -> SignedCode | None:
    """Returns what a signed code holds, however old it is; None when it is not one of ours."""
    if len(text) != _SIGNED_LENGTH or not text.startswith(_PREFIX) or not text.isascii():
        return None
    try:
        body = decode(text[len(_PREFIX) : _BODY_END])
    except ValueError:
        return None
    # Compared as text: several texts decode to the same bytes, and only one of them is the code.
    code = _signed(vault, body)
    return code if hmac.compare_digest(code.text, text) else None


def _signed(vault: Vault, body: bytes) -> SignedCode:
    member_id, issued, _ = _BODY.unpack(body)
    signature = vault.sign_code(_PREFIX.encode() + body)[:_SIGNATURE_BYTES]
    code_id = encode(body)
    return SignedCode(
        _PREFIX + code_id + encode(signature),
        code_id,
        UUID(bytes=member_id),
        datetime.fromtimestamp(issued, UTC),
    )
