"""Brands: their pages, their logos, their stores, and how these are found.

Owns `brands`, `stores` and `logos`. Others ask here whether there is a brand, and whether everybody sees it.
"""

from services.promos.brands.queries import BRAND_NAMES as BRAND_NAMES
from services.promos.brands.queries import BrandRow as BrandRow
from services.promos.brands.queries import BrandState as BrandState
from services.promos.brands.queries import get_brand as get_brand
from services.promos.brands.queries import get_published_brand as get_published_brand
from services.promos.brands.queries import require_brand as require_brand

__all__ = ["BRAND_NAMES", "BrandRow", "BrandState", "get_brand", "get_published_brand", "require_brand"]
