"""IdentityInternalService: the contact data that members agree to share with brands."""

from __future__ import annotations

from uuid import UUID

from scrip.identity.internal.v1 import identity_pb2

from services.common.db import Database
from services.common.encoding import Context
from services.identity.members.queries import get_contacts


class ContactHandlers:
    """Implements BatchGetContacts of IdentityInternalService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def BatchGetContacts(
        self, request: identity_pb2.BatchGetContactsRequest, context: Context
    ) -> identity_pb2.BatchGetContactsResponse:
        """Returns the contact data of those who agree."""
        rows = await self._db.read(get_contacts, [UUID(member_id) for member_id in request.member_ids])
        return identity_pb2.BatchGetContactsResponse(
            contacts={
                str(row.id): identity_pb2.Contact(
                    full_name=row.full_name, phone=row.phone or "", email=row.email or ""
                )
                for row in rows
            }
        )
