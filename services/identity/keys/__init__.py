"""Keys: the vault of keys for secrets at rest, the keys that sign tokens, and the tokens that they sign.

Owns the table `signing_keys`.
"""

from services.identity.keys.signing_keys import SigningKey as SigningKey
from services.identity.keys.signing_keys import SigningKeys as SigningKeys
from services.identity.keys.signing_keys import add_signing_key as add_signing_key
from services.identity.keys.signing_keys import read_jwks as read_jwks
from services.identity.keys.signing_keys import rotate_when_due as rotate_when_due
from services.identity.keys.tokens import LONGEST_TOKEN_SECONDS as LONGEST_TOKEN_SECONDS
from services.identity.keys.tokens import Token as Token
from services.identity.keys.tokens import TokenIssuer as TokenIssuer
from services.identity.keys.tokens import token_expiry as token_expiry
from services.identity.keys.vault import Vault as Vault
from services.identity.keys.vault import hash_secret as hash_secret
from services.identity.keys.vault import new_secret as new_secret

__all__ = [
    "LONGEST_TOKEN_SECONDS",
    "SigningKey",
    "SigningKeys",
    "Token",
    "TokenIssuer",
    "Vault",
    "add_signing_key",
    "hash_secret",
    "new_secret",
    "read_jwks",
    "rotate_when_due",
    "token_expiry",
]
