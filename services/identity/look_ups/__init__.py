"""Look-ups: who stands at the counter, what the member has, and who looked.

Owns the table `look_ups`. What other services know of the member is asked of them.
"""

from services.identity.look_ups.commands import forget_old_look_ups as forget_old_look_ups

__all__ = ["forget_old_look_ups"]
