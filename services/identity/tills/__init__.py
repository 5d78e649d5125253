"""Tills and store servers, which the contract calls clients: their secrets, and the tokens they get for them.

Owns the table `clients`. Every change that ends a till's tokens is run by `Logins.run`, which makes that
known to all services.
"""

from services.identity.tills.token_series import EndedTokens as EndedTokens
from services.identity.tills.token_series import end_till_tokens as end_till_tokens

__all__ = ["EndedTokens", "end_till_tokens"]
