"""Claims: a purchase that was recorded without a member becomes a member's, within some days.

Owns no table: the rows move where they stand, by the faces of `purchases`, `refunds` and `ledger`. Nothing of
it is for other rooms.
"""
