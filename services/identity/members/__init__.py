"""Members: registering, the profile, consent, closing the account; and what staff do about them.

Owns the table `members` and the view `member_accounts`, which adds what a member logs in with.
"""

from services.identity.members.commands import register_member as register_member
from services.identity.members.masking import mask_name as mask_name
from services.identity.members.queries import MemberRow as MemberRow
from services.identity.members.queries import code_owners as code_owners
from services.identity.members.queries import find_member as find_member
from services.identity.members.queries import get_member as get_member
from services.identity.members.queries import get_member_code as get_member_code
from services.identity.members.queries import resolve_member_codes as resolve_member_codes
from services.identity.members.statements import NewMember as NewMember

__all__ = [
    "MemberRow",
    "NewMember",
    "code_owners",
    "find_member",
    "get_member",
    "get_member_code",
    "mask_name",
    "register_member",
    "resolve_member_codes",
]
