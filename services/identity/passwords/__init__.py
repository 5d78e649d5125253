"""Passwords: which ones may be chosen, how they are hashed, and proving to know one.

They are kept in the table `accounts`, which is not this room's. Setting one ends all logins of the account.
"""

from services.identity.passwords.hashing import Passwords as Passwords
from services.identity.passwords.proof import PasswordProof as PasswordProof

__all__ = ["PasswordProof", "Passwords"]
