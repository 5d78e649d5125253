"""ClaimService: claiming codes, and who claimed which."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

from google.api import httpbody_pb2
from scrip.promos.v1 import claim_pb2

from services.common.caller import caller
from services.common.csv_lists import csv_replies
from services.common.db import Database
from services.common.encoding import Context, header, moment
from services.common.idempotency import parse_key
from services.common.ids import new_id
from services.common.list_pages import read_page
from services.common.paging import Page
from services.promos.brand_access import require_own_brand
from services.promos.claims import encoding
from services.promos.claims.claimer import Claimer
from services.promos.claims.claiming import NewClaim
from services.promos.claims.contacts import MOST_ASKED, Contact, Contacts
from services.promos.claims.queries import CLAIM_LIST, MY_CLAIMS, ClaimRow, get_discount, get_my_claim


class ClaimHandlers:
    """Implements ClaimService."""

    def __init__(self, db: Database, claimer: Claimer, contacts: Contacts) -> None:
        self._db = db
        self._claimer = claimer
        self._contacts = contacts

    async def ClaimCode(
        self, request: claim_pb2.ClaimCodeRequest, context: Context
    ) -> claim_pb2.ClaimCodeResponse:
        """Claims a code together with those who do at the same time."""
        key = parse_key(header(context, "idempotency-key"), required=True)
        assert key is not None, "a key is required"
        new = NewClaim(
            new_id(), UUID(request.discount_id), UUID(request.brand_id), caller().id, idempotency_key=key
        )
        row = await self._claimer.claim(new)
        return claim_pb2.ClaimCodeResponse(claim=encoding.my_claim(row))

    async def ListMyClaims(
        self, request: claim_pb2.ListMyClaimsRequest, context: Context
    ) -> claim_pb2.ListMyClaimsResponse:
        """Returns a page of the caller's claims."""
        state = encoding.claim_state_filter(request.state)
        page = Page(request.page_size, request.page_token, "claims", state)
        rows, next_token = await self._db.read(MY_CLAIMS.page, page, member_id=caller().id, state=state)
        return claim_pb2.ListMyClaimsResponse(claims=map(encoding.my_claim, rows), next_page_token=next_token)

    async def GetMyClaim(
        self, request: claim_pb2.GetMyClaimRequest, context: Context
    ) -> claim_pb2.GetMyClaimResponse:
        """Returns one of the caller's claims."""
        row = await self._db.read(get_my_claim, UUID(request.claim_id), caller().id)
        return claim_pb2.GetMyClaimResponse(claim=encoding.my_claim(row))

    async def ListClaims(
        self, request: claim_pb2.ListClaimsRequest, context: Context
    ) -> claim_pb2.ListClaimsResponse:
        """Returns a page of what was claimed of a brand."""
        wanted = await self._wanted(request)
        page = await read_page(self._db, CLAIM_LIST, request, order_by=request.order_by, **wanted)
        contacts = await self._contacts_of(page.rows) if request.with_contacts else {}
        return claim_pb2.ListClaimsResponse(
            claims=[encoding.claim(row, contacts.get(row.member_id)) for row in page.rows],
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def ExportClaims(
        self, request: claim_pb2.ExportClaimsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Returns what was claimed of a brand as CSV, in pieces."""
        wanted = await self._wanted(request)
        batches = CLAIM_LIST.batches(self._db, order_by="", **wanted)
        lines = self._lines(batches, with_contacts=request.with_contacts)
        async for reply in csv_replies(context, "claims", encoding.CSV_COLUMNS, lines):
            yield reply

    async def _wanted(
        self, request: claim_pb2.ListClaimsRequest | claim_pb2.ExportClaimsRequest
    ) -> dict[str, object]:
        """Returns the filters: of a discount when one is named, which is then the brand's; else of the brand.

        Raises BRAND_NOT_YOURS and DISCOUNT_NOT_FOUND.
        """
        brand_id = UUID(request.brand_id)
        require_own_brand(caller(), brand_id)
        discount_id = UUID(request.discount_id) if request.discount_id else None
        if discount_id:
            await self._db.read(get_discount, brand_id, discount_id)
        return {
            "brand_id": None if discount_id else brand_id,
            "discount_id": discount_id,
            "state": encoding.claim_state_filter(request.state),
            "claimed_from": moment(request, "claimed_from"),
            "claimed_until": moment(request, "claimed_until"),
        }

    async def _lines(
        self, batches: AsyncIterator[Sequence[ClaimRow]], *, with_contacts: bool
    ) -> AsyncIterator[Iterable[Sequence[object]]]:
        async for rows in batches:
            for start in range(0, len(rows), MOST_ASKED):
                part = rows[start : start + MOST_ASKED]
                contacts = await self._contacts_of(part) if with_contacts else {}
                yield [encoding.claim_cells(row, contacts.get(row.member_id)) for row in part]

    async def _contacts_of(self, rows: Sequence[ClaimRow]) -> dict[UUID, Contact]:
        if not rows:
            return {}
        member_ids = [row.member_id for row in rows]
        return await self._contacts.disclose(caller(), "claim.contacts_shown", rows[0].brand_id, member_ids)
