"""What orders cost: quotes that are charged as they are, prices of now, and the promo codes of orders.

Owns `quotes`. Asks payments for discounts of payment methods, and promos for promo codes. Whether a voucher
can be had is told by orders, which passes that in.
"""

from services.vouchers.quotes.prices import PricedOrder as PricedOrder
from services.vouchers.quotes.pricing import OrderPricing as OrderPricing
from services.vouchers.quotes.pricing import Wanted as Wanted
from services.vouchers.quotes.promo_codes import OrderPromoCodes as OrderPromoCodes
from services.vouchers.quotes.refusals import payment_method_required as payment_method_required

__all__ = ["OrderPricing", "OrderPromoCodes", "PricedOrder", "Wanted", "payment_method_required"]
