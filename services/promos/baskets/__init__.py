"""Codes applied to the lines of a sale: what they take off, and redeeming them with it.

Owns `redeemed_baskets`, a row per sale whose basket was redeemed, with its reply, and `first_purchases`, the
sale for which a member used codes of a first purchase. Nothing of it is for other features.
"""
