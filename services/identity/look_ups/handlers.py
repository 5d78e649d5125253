"""LookUpService: who stands at the counter, and who looked."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

from scrip.identity.v1 import look_up_pb2

from services.common.caller import caller
from services.common.codes import read_code
from services.common.db import Database
from services.common.encoding import Context, client_address, moment
from services.common.errors import DomainError, invalid_field
from services.common.ids import new_id, utc_now
from services.common.list_pages import read_page
from services.common.throttle import Limit, Throttle
from services.identity.accounts import as_e164
from services.identity.keys import Vault
from services.identity.look_ups.belongings import BelongingsReader
from services.identity.look_ups.commands import record_look_up
from services.identity.look_ups.encoding import encode_found, encode_look_up
from services.identity.look_ups.queries import LOOK_UPS
from services.identity.member_codes import open_signed_code
from services.identity.members import MemberRow, find_member, mask_name
from services.identity.members.encoding import encode_state
from services.identity.settings import Settings

_MISSES = Limit("failed_look_ups_per_caller", 60, 600, open_when_away=True)
"""Numbers and codes that nobody has: a till has few of them, and who tries numbers has many."""


class LookUpHandlers:
    """Implements LookUpService."""

    def __init__(
        self, db: Database, settings: Settings, vault: Vault, throttle: Throttle, belongings: BelongingsReader
    ) -> None:
        self._db = db
        self._default_region = settings.default_region
        self._vault = vault
        self._throttle = throttle
        self._belongings = belongings
        # Open without Redis, for the till goes on selling; each process still counts.
        self._per_caller = Limit(
            "look_ups_per_caller", settings.look_ups_per_caller, 600, open_when_away=True
        )
        self._per_address = Limit(
            "look_ups_per_address", settings.look_ups_per_address, 600, open_when_away=True
        )

    async def LookUpMember(
        self, request: look_up_pb2.LookUpMemberRequest, context: Context
    ) -> look_up_pb2.LookUpMemberResponse:
        """Limits, finds the member, keeps that, then asks the others what it has."""
        who = caller()
        await self._throttle.hit(self._per_address, client_address(context))
        await self._throttle.hit(self._per_caller, who.subject)
        await self._throttle.check(_MISSES, who.subject)
        row = await self._find(request)
        if row is None or row.status == "CLOSED":
            await self._throttle.hit(_MISSES, who.subject)
            raise _unknown(request)
        by_code = request.WhichOneof("by") == "member_code"
        await self._db.run_autocommit(
            record_look_up,
            look_up_id=new_id(),
            actor=who,
            member_id=row.id,
            method="MEMBER_CODE" if by_code else "PHONE",
        )
        member = look_up_pb2.LookedUpMember(
            full_name=mask_name(row.full_name), state=encode_state(row.status)
        )
        if row.status != "ACTIVE":
            return look_up_pb2.LookUpMemberResponse(member=member)
        return encode_found(member, await self._belongings.read(str(row.id)), with_codes=by_code)

    async def ListLookUps(
        self, request: look_up_pb2.ListLookUpsRequest, context: Context
    ) -> look_up_pb2.ListLookUpsResponse:
        """Returns a page of look-ups."""
        since, until = moment(request, "looked_up_from"), moment(request, "looked_up_until")
        if since and until and since >= until:
            raise invalid_field("looked_up_until", "must be later than looked_up_from")
        wanted: dict[str, object] = {
            "member_id": UUID(request.member_id) if request.member_id else None,
            "caller_id": UUID(request.caller_id) if request.caller_id else None,
            "looked_up_from": since,
            "looked_up_until": until,
        }
        page = await read_page(self._db, LOOK_UPS, request, order_by=request.order_by, **wanted)
        return look_up_pb2.ListLookUpsResponse(
            look_ups=map(encode_look_up, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def _find(self, request: look_up_pb2.LookUpMemberRequest) -> MemberRow | None:
        """Returns the member that is meant, or None. Raises VALIDATION_FAILED and MEMBER_CODE_EXPIRED."""
        match request.WhichOneof("by"):
            case "phone":
                phone = as_e164(request.phone, self._default_region)
                if phone is None:
                    raise invalid_field("phone", "is not a phone number")
                return await self._db.read(find_member, phone=phone)
            case "member_code":
                code = read_code(request.member_code)
                signed = open_signed_code(self._vault, code)
                if signed is None:
                    return await self._db.read(find_member, member_code=code)
                if utc_now() >= signed.expires_at:
                    raise DomainError("MEMBER_CODE_EXPIRED", "the code was shown too long ago")
                return await self._db.read(find_member, member_id=signed.member_id)
            case None:
                raise AssertionError("the contract requires one of these")
            case other:
                assert_never(other)


def _unknown(request: look_up_pb2.LookUpMemberRequest) -> DomainError:
    if request.WhichOneof("by") == "phone":
        return DomainError("PHONE_UNKNOWN", "no member has this phone number")
    return DomainError("MEMBER_CODE_UNKNOWN", "no member has this code")
