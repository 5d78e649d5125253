"""The audit log: what staff changed, in every service, for admins to look into.

Owns the table `audit_entries`. Entries of other services come from their outbox; identity's own are written
in the transaction that they belong to.
"""

from services.identity.audit.commands import record_own as record_own

__all__ = ["record_own"]
