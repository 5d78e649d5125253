"""What tests of brands' discounts and claims do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from google.protobuf import timestamp_pb2
from scrip.common.internal.v1 import member_events_pb2
from scrip.identity.v1 import member_pb2, member_pb2_grpc
from scrip.promos.v1 import claim_pb2, claim_pb2_grpc, discount_pb2, discount_pb2_grpc

from services.common.ids import new_id
from services.promos.tests.brands_help import Brands
from services.promos.tests.support import THIRTY_PERCENT, Promos
from tests.inprocess import Member, bearer, eventually

CONSENT_CHANGED = member_events_pb2.MEMBER_EVENT_TYPE_CONSENT_CHANGED


@dataclass
class Claims:
    """Discounts and claims of a brand."""

    promos: Promos
    brand_id: str
    manager: str
    """The token of the brand's manager."""

    @classmethod
    async def of(cls, promos: Promos) -> Claims:
        """A brand of its own."""
        brand_id = (await Brands(promos).published(name="Golden Crust")).brand.id
        return cls(promos, brand_id, await promos.platform.brand_manager(brand_id))

    @property
    def discounts(self) -> discount_pb2_grpc.DiscountServiceStub:
        """DiscountService."""
        return discount_pb2_grpc.DiscountServiceStub(self.promos.channel)

    @property
    def claims(self) -> claim_pb2_grpc.ClaimServiceStub:
        """ClaimService."""
        return claim_pb2_grpc.ClaimServiceStub(self.promos.channel)

    async def create(
        self, token: str | None = None, *, key: str | None = None, **fields: Any
    ) -> discount_pb2.Discount:
        """Returns a new discount, a draft; by default of three codes."""
        request = discount_pb2.CreateDiscountRequest(
            **{
                "brand_id": self.brand_id,
                "name": "30 % off bread",
                "quantity": 3,
                "benefit": THIRTY_PERCENT,
                **fields,
            }
        )
        metadata = bearer(token or self.manager, idempotency_key=key or str(new_id()))
        return (await self.discounts.CreateDiscount(request, metadata=metadata)).discount

    async def made(self, **fields: Any) -> discount_pb2.Discount:
        """Returns a new discount, a draft, with all of its codes made."""
        discount = await self.create(**fields)
        await self.promos.until_made(UUID(discount.id), discount.quantity)
        return await self.get(discount.id)

    async def open(self, **fields: Any) -> discount_pb2.Discount:
        """Returns a new discount that is active, with all of its codes made."""
        return await self.activate((await self.made(**fields)).id)

    async def get(self, discount_id: str, token: str | None = None) -> discount_pb2.Discount:
        """Reads a discount."""
        request = discount_pb2.GetDiscountRequest(brand_id=self.brand_id, discount_id=discount_id)
        metadata = bearer(token or self.manager)
        return (await self.discounts.GetDiscount(request, metadata=metadata)).discount

    async def listed(self, token: str | None = None, **fields: Any) -> discount_pb2.ListDiscountsResponse:
        """Returns a page of the brand's discounts."""
        request = discount_pb2.ListDiscountsRequest(brand_id=self.brand_id, **fields)
        return await self.discounts.ListDiscounts(request, metadata=bearer(token or self.manager))

    async def open_ones(self, **fields: Any) -> list[discount_pb2.OpenDiscount]:
        """Returns what anyone sees of this brand's discounts."""
        request = discount_pb2.ListOpenDiscountsRequest(**{"brand_id": self.brand_id, **fields})
        return list((await self.discounts.ListOpenDiscounts(request)).discounts)

    async def open_one(self, discount_id: str) -> discount_pb2.OpenDiscount:
        """Returns what anyone sees of a discount."""
        request = discount_pb2.GetOpenDiscountRequest(discount_id=discount_id)
        return (await self.discounts.GetOpenDiscount(request)).discount

    async def update(
        self, discount_id: str, token: str | None = None, **fields: Any
    ) -> discount_pb2.Discount:
        """Changes a discount."""
        request = discount_pb2.UpdateDiscountRequest(
            **{"brand_id": self.brand_id, "discount_id": discount_id, **fields}
        )
        metadata = bearer(token or self.manager)
        return (await self.discounts.UpdateDiscount(request, metadata=metadata)).discount

    async def activate(
        self, discount_id: str, token: str | None = None, *, etag: str = ""
    ) -> discount_pb2.Discount:
        """Lets members claim."""
        request = discount_pb2.ActivateDiscountRequest(
            brand_id=self.brand_id, discount_id=discount_id, etag=etag
        )
        metadata = bearer(token or self.manager)
        return (await self.discounts.ActivateDiscount(request, metadata=metadata)).discount

    async def pause(
        self, discount_id: str, token: str | None = None, *, etag: str = ""
    ) -> discount_pb2.Discount:
        """Stops claims for now."""
        request = discount_pb2.PauseDiscountRequest(
            brand_id=self.brand_id, discount_id=discount_id, etag=etag
        )
        metadata = bearer(token or self.manager)
        return (await self.discounts.PauseDiscount(request, metadata=metadata)).discount

    async def end(
        self, discount_id: str, token: str | None = None, *, etag: str = ""
    ) -> discount_pb2.Discount:
        """Stops claims for good."""
        request = discount_pb2.EndDiscountRequest(brand_id=self.brand_id, discount_id=discount_id, etag=etag)
        metadata = bearer(token or self.manager)
        return (await self.discounts.EndDiscount(request, metadata=metadata)).discount

    async def claim(
        self, discount_id: str, token: str, *, key: str | None = None, brand_id: str | None = None
    ) -> claim_pb2.MyClaim:
        """Claims a code."""
        request = claim_pb2.ClaimCodeRequest(brand_id=brand_id or self.brand_id, discount_id=discount_id)
        metadata = bearer(token, idempotency_key=key or str(new_id()))
        return (await self.claims.ClaimCode(request, metadata=metadata)).claim

    async def mine(self, token: str, **fields: Any) -> list[claim_pb2.MyClaim]:
        """Returns a page of a member's claims."""
        request = claim_pb2.ListMyClaimsRequest(**fields)
        return list((await self.claims.ListMyClaims(request, metadata=bearer(token))).claims)

    async def get_mine(self, claim_id: str, token: str) -> claim_pb2.MyClaim:
        """Reads a member's claim."""
        request = claim_pb2.GetMyClaimRequest(claim_id=claim_id)
        return (await self.claims.GetMyClaim(request, metadata=bearer(token))).claim

    async def claimed(self, token: str | None = None, **fields: Any) -> claim_pb2.ListClaimsResponse:
        """Returns a page of what was claimed of the brand."""
        request = claim_pb2.ListClaimsRequest(**{"brand_id": self.brand_id, **fields})
        return await self.claims.ListClaims(request, metadata=bearer(token or self.manager))

    async def exported(self, token: str | None = None, **fields: Any) -> str:
        """Returns what was claimed of the brand as CSV."""
        request = claim_pb2.ExportClaimsRequest(**{"brand_id": self.brand_id, **fields})
        pieces = self.claims.ExportClaims(request, metadata=bearer(token or self.manager))
        return b"".join([piece.data async for piece in pieces]).decode()

    async def consents(self, member: UUID, *, agrees: bool = True, version: int = 3) -> None:
        """Tells promos of a member's consent, as identity does."""
        at = timestamp_pb2.Timestamp()
        at.GetCurrentTime()
        request = member_events_pb2.ApplyRequest(
            event_id=str(new_id()),
            member_id=str(member),
            version=version,
            type=CONSENT_CHANGED,
            occurred_at=at,
            shares_contact=agrees,
        )
        await self.promos.events.Apply(request, metadata=bearer(self.promos.identity))

    async def sharing(self, count: int) -> Sequence[str]:
        """Returns the tokens of so many new members of whom promos knows that they agree."""
        tokens = []
        for _ in range(count):
            member = new_id()
            await self.consents(member)
            tokens.append(await self.promos.platform.token("member", member))
        return tokens

    async def agree(self, member: Member, *, agrees: bool = True) -> None:
        """Has a member agree at identity, or take it back."""
        stub = member_pb2_grpc.MemberServiceStub(self.promos.platform.channels["identity"])
        request = member_pb2.SetMyConsentRequest(shares_contact=agrees, wording_version="1")
        await stub.SetMyConsent(request, metadata=bearer(member.token))

    async def until_known(self, member: UUID, *, agrees: bool) -> None:
        """Waits until promos knows of a member's consent."""

        async def check() -> None:
            query = "SELECT shares_contact FROM member_consents WHERE member_id = %(id)s"
            assert await self.promos.value(query, id=member) is agrees

        await eventually(check)
