"""What identity tells of members: how far vouchers has been told, and each member's status.

Owns `members`. Nothing personal is kept, so closing an account erases nothing; orders under way are finished
by their rules, and what was bought stays with the member's id.
"""
