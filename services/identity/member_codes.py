"""Member codes: what a till scans or a cashier types.

12 characters of Crockford's base32 alphabet, which has no look-alikes. The last one is the check
character of ISO 7064 MOD 37,36 over the others: it catches every single wrong character and nearly
every swap of two neighbours.
"""

from __future__ import annotations

import secrets

from stdnum.iso7064 import mod_37_36

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12


def new_member_code() -> str:
    """A random member code (55 bits)."""
    while True:
        body = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH - 1))
        check = mod_37_36.calc_check_digit(body)
        if check in ALPHABET:  # four of the 36 check characters look like others
            return body + check
