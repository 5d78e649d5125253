"""What the programme offers, with its stock: what staff create, and the offers that members see.

Owns `vouchers`. Has the codes of what is published made at promos. Stock is taken and given back by orders,
in one statement with the order; here it is only read.
"""

from services.vouchers.catalogue.code_stock import ask_for_codes as ask_for_codes
from services.vouchers.catalogue.conditions import FEW_CODES_LEFT as FEW_CODES_LEFT
from services.vouchers.catalogue.conditions import ON_SALE as ON_SALE
from services.vouchers.catalogue.conditions import POINTS_ALONE as POINTS_ALONE
from services.vouchers.catalogue.images import VoucherImage as VoucherImage
from services.vouchers.catalogue.images import find_images as find_images
from services.vouchers.catalogue.images import images_of as images_of
from services.vouchers.catalogue.images import set_images as set_images
from services.vouchers.catalogue.quantity_changes import QuantityChanges as QuantityChanges
from services.vouchers.catalogue.queries import VOUCHERS as VOUCHERS
from services.vouchers.catalogue.queries import PriceRule as PriceRule
from services.vouchers.catalogue.queries import VoucherRow as VoucherRow
from services.vouchers.catalogue.queries import get_gift_terms as get_gift_terms
from services.vouchers.catalogue.queries import get_voucher as get_voucher
from services.vouchers.catalogue.queries import is_on_sale as is_on_sale
from services.vouchers.catalogue.queries import lock_voucher as lock_voucher
from services.vouchers.catalogue.queries import lock_vouchers as lock_vouchers
from services.vouchers.catalogue.refusals import sold_out as sold_out
from services.vouchers.catalogue.refusals import voucher_archived as voucher_archived
from services.vouchers.catalogue.refusals import voucher_not_found as voucher_not_found
from services.vouchers.catalogue.refusals import voucher_not_on_sale as voucher_not_on_sale

__all__ = [
    "FEW_CODES_LEFT",
    "ON_SALE",
    "POINTS_ALONE",
    "VOUCHERS",
    "PriceRule",
    "QuantityChanges",
    "VoucherImage",
    "VoucherRow",
    "ask_for_codes",
    "find_images",
    "get_gift_terms",
    "get_voucher",
    "images_of",
    "is_on_sale",
    "lock_voucher",
    "lock_vouchers",
    "set_images",
    "sold_out",
    "voucher_archived",
    "voucher_not_found",
    "voucher_not_on_sale",
]
