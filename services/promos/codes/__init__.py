"""Every code and what it is worth: sets, codes, who owns them, and the sales that used them.

Owns `code_sets`, `codes`, `assignments` and `redemptions`. Others give codes away and take them back by the
functions here, in their own transaction; what they give them for is not known here.
"""

from services.promos.codes.commands.code_sets import CodeSetChanges as CodeSetChanges
from services.promos.codes.commands.code_sets import change_code_set as change_code_set
from services.promos.codes.commands.code_sets import make_code_set as make_code_set
from services.promos.codes.commands.give_code import discard_code as discard_code
from services.promos.codes.commands.give_code import give_code as give_code
from services.promos.codes.commands.give_code import void_unused_codes as void_unused_codes
from services.promos.codes.patterns import display_code as display_code
from services.promos.codes.queries import CODE_SETS as CODE_SETS
from services.promos.codes.queries import CODES as CODES
from services.promos.codes.queries import STOCK as STOCK
from services.promos.codes.queries import USABLE_CODES as USABLE_CODES
from services.promos.codes.queries import CodeState as CodeState
from services.promos.codes.set_queries import CodeSetRow as CodeSetRow
from services.promos.codes.set_queries import get_code_set as get_code_set
from services.promos.codes.set_queries import lock_code_set as lock_code_set

__all__ = [
    "CODES",
    "CODE_SETS",
    "STOCK",
    "USABLE_CODES",
    "CodeSetChanges",
    "CodeSetRow",
    "CodeState",
    "change_code_set",
    "discard_code",
    "display_code",
    "get_code_set",
    "give_code",
    "lock_code_set",
    "make_code_set",
    "void_unused_codes",
]
