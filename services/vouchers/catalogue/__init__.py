"""What the programme offers, with its stock: what staff create, and the offers that members see.

Owns `vouchers`. Has the codes of what is published made at promos. Stock is taken and given back by orders,
in one statement with the order; here it is only read.
"""

from services.vouchers.catalogue.conditions import ON_SALE as ON_SALE
from services.vouchers.catalogue.queries import VOUCHERS as VOUCHERS
from services.vouchers.catalogue.queries import is_on_sale as is_on_sale
from services.vouchers.catalogue.recent import Recent as Recent
from services.vouchers.catalogue.refusals import sold_out as sold_out
from services.vouchers.catalogue.refusals import voucher_not_found as voucher_not_found
from services.vouchers.catalogue.refusals import voucher_not_on_sale as voucher_not_on_sale

__all__ = [
    "ON_SALE",
    "VOUCHERS",
    "Recent",
    "is_on_sale",
    "sold_out",
    "voucher_not_found",
    "voucher_not_on_sale",
]
