"""Getting vouchers for points: placing an order with its stock, and the saga that ends it.

Owns `orders`. Calls points and promos. Stands above catalogue and wallet; no other feature uses it.
"""
