"""Promos: personal gifts of promo points, and what was used of them.

Owns `promos`, `promo_uses` and `promo_use_parts`. Nobody else needs to know of them.
"""

from services.promos.promo_points.refusals import member_code_replayed as member_code_replayed

__all__ = ["member_code_replayed"]
