"""Every code and what it is worth: sets, codes, who owns them, and the sales that used them.

Owns `code_sets`, `codes`, `assignments`, `redemptions` and `member_uses`. Others give codes away, take them
back and use them by the functions here, in their own transaction; what they do it for is not known here.
"""

from services.promos.codes.commands.code_sets import make_code_set as make_code_set
from services.promos.codes.commands.code_states import tell_code_states as tell_code_states
from services.promos.codes.commands.give_code import discard_code as discard_code
from services.promos.codes.commands.give_code import give_code as give_code
from services.promos.codes.commands.give_code import void_unused_codes as void_unused_codes
from services.promos.codes.commands.redeem_codes import NewRedemption as NewRedemption
from services.promos.codes.commands.redeem_codes import redeem_all as redeem_all
from services.promos.codes.guesses import Guesser as Guesser
from services.promos.codes.guesses import Guesses as Guesses
from services.promos.codes.judging import Question as Question
from services.promos.codes.judging import RedeemableCode as RedeemableCode
from services.promos.codes.judging import find_redeemable as find_redeemable
from services.promos.codes.judging import judge as judge
from services.promos.codes.queries import CANCELLED_REDEMPTIONS as CANCELLED_REDEMPTIONS
from services.promos.codes.queries import CODE_SETS as CODE_SETS
from services.promos.codes.queries import CODES as CODES
from services.promos.codes.queries import USABLE_CODES as USABLE_CODES
from services.promos.codes.queries import CodeState as CodeState
from services.promos.codes.queries import RedemptionRow as RedemptionRow
from services.promos.codes.refusals import member_required as member_required
from services.promos.codes.refusals import redemption_cancelled as redemption_cancelled
from services.promos.codes.refusals import redemption_conflict as redemption_conflict

__all__ = [
    "CANCELLED_REDEMPTIONS",
    "CODES",
    "CODE_SETS",
    "USABLE_CODES",
    "CodeState",
    "Guesser",
    "Guesses",
    "NewRedemption",
    "Question",
    "RedeemableCode",
    "RedemptionRow",
    "discard_code",
    "find_redeemable",
    "give_code",
    "judge",
    "make_code_set",
    "member_required",
    "redeem_all",
    "redemption_cancelled",
    "redemption_conflict",
    "tell_code_states",
    "void_unused_codes",
]
