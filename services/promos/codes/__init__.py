"""Every code and what it is worth: sets, codes, who owns them, and the sales that used them.

Owns `code_sets`, `codes`, `assignments` and `redemptions`. Others give codes away and take them back by the
functions here, in their own transaction; what they give them for is not known here.
"""

from services.promos.codes.commands.code_sets import make_code_set as make_code_set
from services.promos.codes.commands.give_code import discard_code as discard_code
from services.promos.codes.commands.give_code import give_code as give_code
from services.promos.codes.commands.give_code import void_unused_codes as void_unused_codes
from services.promos.codes.queries import CODE_SETS as CODE_SETS
from services.promos.codes.queries import CODES as CODES
from services.promos.codes.queries import USABLE_CODES as USABLE_CODES
from services.promos.codes.queries import CodeState as CodeState

__all__ = [
    "CODES",
    "CODE_SETS",
    "USABLE_CODES",
    "CodeState",
    "discard_code",
    "give_code",
    "make_code_set",
    "void_unused_codes",
]
