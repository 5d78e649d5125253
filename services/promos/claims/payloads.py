"""What a brand's webhook is told of a claim: built for each attempt, so that nothing personal is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.common.caller import SERVICE, Caller
from services.common.db import Database
from services.promos.claims.contacts import Contacts
from services.promos.claims.queries import get_claim
from services.promos.codes import code_text, display_code
from services.promos.webhooks import Event

_SENDER = Caller("promos", SERVICE)


class ClaimPayloads:
    """Builds what is sent of `claim.created`."""

    def __init__(self, db: Database, contacts: Contacts) -> None:
        self._db = db
        self._contacts = contacts

    async def created(self, event: Event) -> Mapping[str, Any]:
        """Returns a claim as JSON has it, with contact data if the member agrees at this moment.

        That contact data is sent is audited. Raises OutcomeUnknownError when identity does not reply: then
        the attempt is made later.
        """
        claim = await self._db.read(get_claim, event.subject_id)
        found = await self._contacts.disclose(
            _SENDER, "claim.contacts_sent", claim.brand_id, [claim.member_id]
        )
        contact = found.get(claim.member_id)
        return {
            "claim_id": str(claim.id),
            "brand_id": str(claim.brand_id),
            "discount_id": str(claim.discount_id),
            "code_id": str(claim.code_id),
            "code": code_text(claim.code, claim.pattern),
            "code_display": display_code(claim.code, claim.pattern),
            "member_id": str(claim.member_id),
            "claimed_at": claim.claimed_at.isoformat().replace("+00:00", "Z"),
            "contact": asdict(contact) if contact else None,
        }
