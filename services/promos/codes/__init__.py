"""Every code and what it is worth: sets, codes, who owns them, and the sales that used them.

Owns `code_sets`, `codes`, `assignments`, `code_holds`, `redemptions` and `member_uses`. Others give codes
away, take them back and use them by the functions here, in their own transaction; what they do it for is not
known here.
"""

from services.promos.codes.code_lists import CODE_EVENTS as CODE_EVENTS
from services.promos.codes.code_lists import CODE_LIST as CODE_LIST
from services.promos.codes.code_lists import CodeEvent as CodeEvent
from services.promos.codes.code_lists import CodeOfSet as CodeOfSet
from services.promos.codes.code_lists import ListedCode as ListedCode
from services.promos.codes.code_lists import Selection as Selection
from services.promos.codes.code_lists import find_code as find_code
from services.promos.codes.code_lists import get_code as get_code
from services.promos.codes.code_lists import select_codes as select_codes
from services.promos.codes.commands.cancel_redemption import cancel_redemption as cancel_redemption
from services.promos.codes.commands.code_sets import CodeSetChanges as CodeSetChanges
from services.promos.codes.commands.code_sets import change_code_set as change_code_set
from services.promos.codes.commands.code_sets import make_code_set as make_code_set
from services.promos.codes.commands.code_states import tell_code_states as tell_code_states
from services.promos.codes.commands.give_code import discard_code as discard_code
from services.promos.codes.commands.give_code import give_code as give_code
from services.promos.codes.commands.give_code import void_unused_codes as void_unused_codes
from services.promos.codes.commands.import_codes import Imported as Imported
from services.promos.codes.commands.import_codes import NewCode as NewCode
from services.promos.codes.commands.import_codes import import_codes as import_codes
from services.promos.codes.commands.redeem_codes import NewRedemption as NewRedemption
from services.promos.codes.commands.redeem_codes import redeem_all as redeem_all
from services.promos.codes.commands.void_code import void_code as void_code
from services.promos.codes.guesses import Guesser as Guesser
from services.promos.codes.guesses import Guesses as Guesses
from services.promos.codes.judging import Question as Question
from services.promos.codes.judging import RedeemableCode as RedeemableCode
from services.promos.codes.judging import find_redeemable as find_redeemable
from services.promos.codes.judging import judge as judge
from services.promos.codes.patterns import display_code as display_code
from services.promos.codes.queries import CANCELLED_REDEMPTIONS as CANCELLED_REDEMPTIONS
from services.promos.codes.queries import CODE_SETS as CODE_SETS
from services.promos.codes.queries import CODES as CODES
from services.promos.codes.queries import STOCK as STOCK
from services.promos.codes.queries import USABLE_CODES as USABLE_CODES
from services.promos.codes.queries import CodeState as CodeState
from services.promos.codes.queries import RedemptionRow as RedemptionRow
from services.promos.codes.queries import get_code_text as get_code_text
from services.promos.codes.refusals import code_member_limit as code_member_limit
from services.promos.codes.refusals import code_not_valid as code_not_valid
from services.promos.codes.refusals import member_required as member_required
from services.promos.codes.refusals import redemption_cancelled as redemption_cancelled
from services.promos.codes.refusals import redemption_conflict as redemption_conflict
from services.promos.codes.set_queries import CodeSetRow as CodeSetRow
from services.promos.codes.set_queries import get_code_set as get_code_set
from services.promos.codes.set_queries import lock_code_set as lock_code_set
from services.promos.codes.set_queries import require_purpose as require_purpose

__all__ = [
    "CANCELLED_REDEMPTIONS",
    "CODES",
    "CODE_EVENTS",
    "CODE_LIST",
    "CODE_SETS",
    "STOCK",
    "USABLE_CODES",
    "CodeEvent",
    "CodeOfSet",
    "CodeSetChanges",
    "CodeSetRow",
    "CodeState",
    "Guesser",
    "Guesses",
    "Imported",
    "ListedCode",
    "NewCode",
    "NewRedemption",
    "Question",
    "RedeemableCode",
    "RedemptionRow",
    "Selection",
    "cancel_redemption",
    "change_code_set",
    "code_member_limit",
    "code_not_valid",
    "discard_code",
    "display_code",
    "find_code",
    "find_redeemable",
    "get_code",
    "get_code_set",
    "get_code_text",
    "give_code",
    "import_codes",
    "judge",
    "lock_code_set",
    "make_code_set",
    "member_required",
    "redeem_all",
    "redemption_cancelled",
    "redemption_conflict",
    "require_purpose",
    "select_codes",
    "tell_code_states",
    "void_code",
    "void_unused_codes",
]
