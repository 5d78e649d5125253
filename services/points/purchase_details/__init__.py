"""A purchase as it stands now: its lines, what came back of them, and by which rules it was judged.

Owns no table: it reads those of `purchases` and `refunds` in one statement. Nothing of it is for other rooms.
"""
