"""Discounts and claims as protobuf has them, and requests for them as commands take them."""

from __future__ import annotations

from collections.abc import Sequence

from scrip.promos.v1 import claim_pb2, discount_pb2

from services.common.encoding import moment, read_optional_text, read_text, timestamp
from services.common.errors import invalid_field
from services.promos.benefit_encoding import encode_benefit, read_benefit
from services.promos.claims.commands import DiscountChanges, NewDiscount
from services.promos.claims.contacts import Contact
from services.promos.claims.queries import ClaimRow, DiscountRow, MyClaimRow, OpenDiscountRow
from services.promos.codes import code_text, display_code

_DISCOUNT_STATE = "DISCOUNT_STATE_"
_CLAIM_STATE = "CLAIM_STATE_"


def new_discount(request: discount_pb2.CreateDiscountRequest, currency: str) -> NewDiscount:
    """Returns the discount that is asked for. Raises VALIDATION_FAILED and CURRENCY_NOT_SUPPORTED."""
    return NewDiscount(
        name=read_text(request.name, "name"),
        description=read_optional_text(request.description, "description", lines=True),
        benefit=read_benefit(request.benefit, currency),
        quantity=request.quantity,
        pattern=request.pattern or None,
        starts_at=moment(request, "starts_at"),
        ends_at=moment(request, "ends_at"),
        codes_expire_at=moment(request, "codes_expire_at"),
        valid_days=request.valid_days or None,
    )


def changes(request: discount_pb2.UpdateDiscountRequest) -> DiscountChanges:
    """Returns what an update asks for. Raises VALIDATION_FAILED for a field that is given and emptied."""
    for field in request.clear:
        if request.HasField(field):  # type: ignore[arg-type]  # one of three fields, by validation
            raise invalid_field("clear", f"{field} can not be given and emptied at once")
    described = request.HasField("description")
    return DiscountChanges(
        name=read_text(request.name, "name") if request.HasField("name") else None,
        description=read_text(request.description, "description", lines=True) if described else None,
        quantity=request.quantity if request.HasField("quantity") else None,
        starts_at=moment(request, "starts_at"),
        ends_at=moment(request, "ends_at"),
        clear=list(request.clear),
    )


def discount_state_filter(state: discount_pb2.DiscountState.ValueType) -> str | None:
    """Returns the state that a list is asked for, as it is stored; None is every state."""
    return discount_pb2.DiscountState.Name(state).removeprefix(_DISCOUNT_STATE) if state else None


def claim_state_filter(state: claim_pb2.ClaimState.ValueType) -> str | None:
    """Returns the state that a list is asked for, as queries have it; None is every state."""
    return claim_pb2.ClaimState.Name(state).removeprefix(_CLAIM_STATE) if state else None


def discount(row: DiscountRow) -> discount_pb2.Discount:
    """Returns a discount as its brand sees it."""
    return discount_pb2.Discount(
        id=str(row.id),
        brand_id=str(row.brand_id),
        name=row.name,
        description=row.description,
        benefit=encode_benefit(row.benefit),
        quantity=row.quantity,
        claimed=row.claimed,
        codes_made=row.codes_made,
        pattern=row.pattern or "",
        starts_at=timestamp(row.starts_at),
        ends_at=timestamp(row.ends_at),
        codes_expire_at=timestamp(row.codes_expire_at),
        valid_days=row.valid_days or 0,
        state=discount_pb2.DiscountState.Value(f"{_DISCOUNT_STATE}{row.state}"),
        created_at=timestamp(row.created_at),
        etag=row.etag,
    )


def open_discount(row: OpenDiscountRow) -> discount_pb2.OpenDiscount:
    """Returns a discount as members see it."""
    return discount_pb2.OpenDiscount(
        id=str(row.id),
        brand_id=str(row.brand_id),
        brand_name=row.brand_name,
        name=row.name,
        description=row.description,
        benefit=encode_benefit(row.benefit),
        left=row.left,
        ends_at=timestamp(row.ends_at),
        codes_expire_at=timestamp(row.codes_expire_at),
        valid_days=row.valid_days or 0,
    )


def my_claim(row: MyClaimRow) -> claim_pb2.MyClaim:
    """Returns a claim as its member sees it."""
    return claim_pb2.MyClaim(
        id=str(row.id),
        discount_id=str(row.discount_id),
        brand_id=str(row.brand_id),
        brand_name=row.brand_name,
        name=row.name,
        benefit=encode_benefit(row.benefit),
        code_id=str(row.code_id),
        code=code_text(row.code, row.pattern),
        code_display=display_code(row.code, row.pattern),
        state=claim_pb2.ClaimState.Value(f"{_CLAIM_STATE}{row.state}"),
        claimed_at=timestamp(row.claimed_at),
        expires_at=timestamp(row.expires_at),
    )


def claim(row: ClaimRow, contact: Contact | None) -> claim_pb2.Claim:
    """Returns a claim as its brand sees it."""
    return claim_pb2.Claim(
        id=str(row.id),
        discount_id=str(row.discount_id),
        code_id=str(row.code_id),
        code=code_text(row.code, row.pattern),
        code_display=display_code(row.code, row.pattern),
        member_id=str(row.member_id),
        state=claim_pb2.ClaimState.Value(f"{_CLAIM_STATE}{row.state}"),
        claimed_at=timestamp(row.claimed_at),
        contact=claim_pb2.ClaimContact(full_name=contact.full_name, phone=contact.phone, email=contact.email)
        if contact
        else None,
    )


CSV_COLUMNS = (
    "id",
    "discount_id",
    "code_id",
    "code",
    "code_display",
    "member_id",
    "state",
    "claimed_at",
    "full_name",
    "phone",
    "email",
)


def claim_cells(row: ClaimRow, contact: Contact | None) -> Sequence[object]:
    """Returns the cells of a claim, in the order of CSV_COLUMNS."""
    encoded = claim(row, contact)
    return [
        encoded.id,
        encoded.discount_id,
        encoded.code_id,
        encoded.code,
        encoded.code_display,
        encoded.member_id,
        row.state,
        encoded.claimed_at.ToJsonString(),
        encoded.contact.full_name,
        encoded.contact.phone,
        encoded.contact.email,
    ]
