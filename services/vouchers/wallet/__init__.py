"""What members own: the vouchers that they got for points or money, or as gifts, with their codes.

Owns `wallet_vouchers` and `wallet_codes`. A row of the first is written by orders, in the statement that
completes one, and put on offer and moved by gifts through the functions here. promos is asked for a code
once, and tells what becomes of it.
"""

from services.vouchers.wallet.offers import OnOffer as OnOffer
from services.vouchers.wallet.offers import end_offer as end_offer
from services.vouchers.wallet.offers import hand_over as hand_over
from services.vouchers.wallet.offers import put_on_offer as put_on_offer
from services.vouchers.wallet.queries import WALLET_VOUCHERS as WALLET_VOUCHERS

__all__ = ["WALLET_VOUCHERS", "OnOffer", "end_offer", "hand_over", "put_on_offer"]
