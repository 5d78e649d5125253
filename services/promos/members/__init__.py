"""What identity tells of members: how far promos has been told, the first login, and each member's status.

Owns `members`. What follows from an event is for other features: the wiring passes their functions in.
"""
