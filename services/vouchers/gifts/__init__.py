"""Vouchers that members give to phone numbers, of members or of people who may register later.

Owns `gifts` and `voucher_recipients`, where orders counts what it places. Calls promos, which holds codes,
and identity, which alone knows numbers.
"""

from services.vouchers.gifts.commands import Gift as Gift
from services.vouchers.gifts.commands import end_gifts_of_order as end_gifts_of_order
from services.vouchers.gifts.commands import forget_recipient_later as forget_recipient_later
from services.vouchers.gifts.commands import offer_order as offer_order
from services.vouchers.gifts.recipients import GiftRecipients as GiftRecipients
from services.vouchers.gifts.recipients import Recipient as Recipient
from services.vouchers.gifts.refusals import gift_not_allowed as gift_not_allowed
from services.vouchers.gifts.refusals import recipient_limit_reached as recipient_limit_reached

__all__ = [
    "Gift",
    "GiftRecipients",
    "Recipient",
    "end_gifts_of_order",
    "forget_recipient_later",
    "gift_not_allowed",
    "offer_order",
    "recipient_limit_reached",
]
