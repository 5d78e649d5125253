"""Member codes: what they look like, signing them, and whose a scanned or typed one is.

Owns no table: a member's lasting code is kept in `members`.
"""

from services.identity.member_codes.codes import CodeOwner as CodeOwner
from services.identity.member_codes.codes import SignedCode as SignedCode
from services.identity.member_codes.codes import new_member_code as new_member_code
from services.identity.member_codes.codes import open_signed_code as open_signed_code
from services.identity.member_codes.codes import sign_member_code as sign_member_code

__all__ = ["CodeOwner", "SignedCode", "new_member_code", "open_signed_code", "sign_member_code"]
