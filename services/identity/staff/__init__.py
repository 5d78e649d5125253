"""Staff: who works for the retailer and its brands, and as what. There is an active admin, always.

Owns the table `staff` and the views `staff_accounts` and `active_admins`.
"""

from services.identity.staff.commands import bootstrap_admin as bootstrap_admin
from services.identity.staff.queries import get_staff as get_staff
from services.identity.staff.queries import has_staff as has_staff

__all__ = ["bootstrap_admin", "get_staff", "has_staff"]
