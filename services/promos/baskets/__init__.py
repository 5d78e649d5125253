"""Codes applied to the lines of a sale: what they take off, and redeeming them with it.

Owns `redeemed_baskets`, a row per sale whose basket was redeemed, with its reply, `first_purchases`, the
sale for which a member used codes of a first purchase, and `redeemed_orders`, the orders of vouchers that
used a promo code or must not any more. Nothing of it is for other features.
"""
