"""Sets whose codes staff hand out themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from services.common import audit
from services.common.caller import BRAND_MANAGER, Caller
from services.common.db import Connection
from services.common.etags import require_etag
from services.common.ids import new_id
from services.promos.benefits import Benefit, values
from services.promos.brand_access import require_own_brand
from services.promos.brands import require_brand
from services.promos.codes.commands.code_sets import CodeSetChanges, change_code_set, make_code_set
from services.promos.codes.refusals import code_set_has_owner
from services.promos.codes.set_queries import CodeSetRow, get_code_set, lock_code_set


@dataclass(frozen=True)
class NewCodeSet:
    """A set as staff want it; the arguments of `make_code_set`."""

    name: str
    brand_id: UUID | None
    pattern: str | None
    quantity: int
    benefit: Benefit
    starts_at: datetime | None
    expires_at: datetime | None
    uses_allowed: int
    uses_per_member: int | None
    enabled: bool
    allow_guessable: bool


async def create_code_set(connection: Connection, *, actor: Caller, new: NewCodeSet) -> CodeSetRow:
    """Makes a set, has its codes made, and returns it. A brand manager makes sets of the own brand alone.

    Raises BRAND_NOT_YOURS, BRAND_NOT_FOUND, BRAND_ARCHIVED, and what `make_code_set` raises.
    """
    brand_id = new.brand_id
    if actor.role == BRAND_MANAGER:
        brand_id = brand_id or actor.brand_id
        require_own_brand(actor, brand_id)
    if brand_id is not None:
        await require_brand(connection, brand_id)
    code_set_id = new_id()
    await make_code_set(
        connection,
        code_set_id,
        purpose="HANDED_OUT",
        benefit=new.benefit,
        expires_at=new.expires_at,
        starts_at=new.starts_at,
        name=new.name,
        brand_id=brand_id,
        pattern=new.pattern,
        quantity=new.quantity,
        uses_allowed=new.uses_allowed,
        uses_per_member=new.uses_per_member,
        enabled=new.enabled,
        allow_guessable=new.allow_guessable,
    )
    details = {
        **asdict(new),
        "brand_id": brand_id,
        "benefit": values(new.benefit),
    }
    await audit.record(connection, actor, "code_set.created", code_set_id, **details)
    return await get_code_set(connection, code_set_id)


async def update_code_set(
    connection: Connection,
    *,
    actor: Caller,
    code_set_id: UUID,
    etag: str,
    changes: CodeSetChanges,
    allow_guessable: bool,
) -> CodeSetRow:
    """Changes a set and returns it; where nothing is different, nothing is audited either.

    An `etag` is that of the set as the caller read it; without one it is changed whatever it is now. Raises
    CODE_SET_NOT_FOUND, BRAND_NOT_YOURS, ETAG_MISMATCH, CODE_SET_HAS_OWNER, and what `change_code_set` raises.
    """
    before = await lock_code_set(connection, code_set_id)
    require_own_brand(actor, before.brand_id)
    if before.purpose != "HANDED_OUT":
        raise code_set_has_owner(code_set_id, before.purpose)
    require_etag(etag, before.etag, of="set")
    after = await change_code_set(connection, before, changes, allow_guessable=allow_guessable)
    if after.version != before.version:
        was, now = asdict(before), asdict(after)
        changed = {name: now[name] for name in now if now[name] != was[name] and name != "version"}
        await audit.record(connection, actor, "code_set.updated", code_set_id, **changed)
    return after
