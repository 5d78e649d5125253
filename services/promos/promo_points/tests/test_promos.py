"""What staff do with promos."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc
from scrip.promos.v1 import promo_pb2

from services.common.encoding import timestamp
from services.common.errors import OutcomeUnknownError
from services.common.ids import new_id
from services.promos.promo_points import new_members
from services.promos.promo_points.tests.gifts import Gifts
from services.promos.tests.support import at_once, in_days
from tests.inprocess import InProcess, Member, Platform, bearer, eventually, reason, refusal

BIRTHDAY = promo_pb2.PROMO_TYPE_BIRTHDAY


@pytest.mark.covers("C7 PromoService.CreatePromo", "C7 PromoService.GetPromo")
async def test_a_promo_is_given_and_read_back(gifts: Gifts, member: Member) -> None:
    starts_at, ends_at = timestamp(in_days(1)), timestamp(in_days(2))
    made = await gifts.give(
        member, 100, type=BIRTHDAY, description=" Happy birthday ", starts_at=starts_at, ends_at=ends_at
    )
    assert (made.member_id, made.type, made.description) == (str(member.id), BIRTHDAY, "Happy birthday")
    assert (made.amount, made.used, made.remaining, made.active) == (100, 0, 100, True)
    assert (made.starts_at, made.ends_at) == (starts_at, ends_at)
    assert made.state == promo_pb2.PROMO_STATE_SCHEDULED
    assert len(made.code) == 12
    assert await gifts.get(made.id) == made


async def test_a_promo_can_be_used_at_once_when_nothing_is_said(gifts: Gifts, member: Member) -> None:
    made = await gifts.give(member)
    assert made.state == promo_pb2.PROMO_STATE_USABLE
    assert not made.HasField("ends_at")


async def test_the_same_key_gives_one_promo(gifts: Gifts, member: Member) -> None:
    key = str(new_id())
    made, refused = await at_once(gifts.give(member, key=key) for _ in range(50))
    assert len({promo.id for promo in made}) == 1
    assert not refused
    assert await reason(gifts.give(member, 101, key=key)) == "IDEMPOTENCY_KEY_REUSED"
    assert len((await gifts.list_all(member_id=str(member.id))).promos) == 1


async def test_a_key_is_needed(gifts: Gifts, member: Member) -> None:
    request = promo_pb2.CreatePromoRequest(member_id=str(member.id), type=BIRTHDAY, description="x", amount=1)
    call = gifts.staff.CreatePromo(request, metadata=bearer(gifts.promos.admin))
    assert await reason(call) == "IDEMPOTENCY_KEY_REQUIRED"


async def test_staff_tills_and_strangers_can_hold_no_promo(
    gifts: Gifts, member: Member, platform: Platform
) -> None:
    for role in ("manager", "till"):
        holder = new_id()
        await platform.token(role, holder)
        nobody = Member(holder, "", "", "", "")
        assert await refusal(gifts.give(nobody)) == (
            "MEMBER_NOT_FOUND",
            grpc.StatusCode.NOT_FOUND,
            {"member_id": str(holder)},
        )
    await platform.close_account(member)

    async def gone() -> None:
        assert await reason(gifts.give(member)) == "MEMBER_CLOSED"

    await eventually(gone)


async def test_who_registered_a_moment_ago_is_given_a_promo(
    gifts: Gifts, in_process: InProcess, platform: Platform
) -> None:
    """Before promos has heard of the member; what it hears afterwards counts as ever."""
    await in_process.stop_worker("identity")
    try:
        member, gone = await platform.member(), await platform.member()
        await platform.close_account(gone)
        key = str(new_id())
        made, refused = await at_once(gifts.give(member, key=key) for _ in range(10))
        assert ({promo.id for promo in made}, refused) == ({made[0].id}, {})
        assert (await gifts.at_till(member.code, 30, f"S-{new_id()}")).uses[0].remaining == 70
        assert await reason(gifts.give(gone)) == "MEMBER_CLOSED"
        count = "SELECT count(*) FROM members WHERE member_id = %(id)s"
        assert await gifts.promos.value(count, id=gone.id) == 0, (
            "what follows from closing waits for its event"
        )
    finally:
        in_process.start_worker("identity")

    async def heard() -> None:
        query = """
        SELECT version = 2 AND registered_at IS NOT NULL AND first_login_at IS NOT NULL
        FROM members WHERE member_id = %(id)s
        """
        assert await gifts.promos.value(query, id=member.id)

    await eventually(heard, seconds=10)


async def test_while_identity_is_away_nobody_is_called_unknown(
    gifts: Gifts, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise OutcomeUnknownError("identity")

    monkeypatch.setattr(new_members, "call", away)
    assert await reason(gifts.give(Member(new_id(), "", "", "", ""))) == "DEPENDENCY_UNAVAILABLE"
    assert (await gifts.give(member)).remaining == 100


async def test_a_promo_shows_what_became_of_its_member(
    gifts: Gifts, member: Member, platform: Platform
) -> None:
    made = await gifts.give(member, 100)
    inactive = await gifts.give(member, inactive=True)

    async def status(value: str) -> None:
        statement = "UPDATE members SET status = %(status)s WHERE member_id = %(id)s"
        await gifts.promos.execute(statement, id=member.id, status=value)

    await status("SUSPENDED")
    assert (await gifts.get(made.id)).state == promo_pb2.PROMO_STATE_ON_HOLD
    assert (await gifts.get(inactive.id)).state == promo_pb2.PROMO_STATE_INACTIVE
    assert (await gifts.update(made.id, amount=200)).state == promo_pb2.PROMO_STATE_ON_HOLD
    # The gate that refuses the member's calls learns it a moment later.
    assert await reason(gifts.use(member, made.id, 1)) == "ACCOUNT_SUSPENDED"
    await status("CLOSED")
    assert await reason(gifts.use(member, made.id, 1)) == "ACCOUNT_CLOSED"
    await status("ACTIVE")
    await platform.close_account(member)

    async def forfeited() -> None:
        states = {promo.id: promo.state for promo in (await gifts.list_all(member_id=str(member.id))).promos}
        assert set(states.values()) == {promo_pb2.PROMO_STATE_FORFEITED}

    await eventually(forfeited)
    found = await gifts.list_all(member_id=str(member.id), state=promo_pb2.PROMO_STATE_USABLE)
    assert list(found.promos) == []
    assert await refusal(gifts.update(made.id, amount=300)) == (
        "MEMBER_CLOSED",
        grpc.StatusCode.FAILED_PRECONDITION,
        {},
    )
    assert (await gifts.get(made.id)).amount == 200
    await gifts.delete(made.id)
    assert (await gifts.get(made.id)).state == promo_pb2.PROMO_STATE_DELETED


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 1_000_000_001},
        {"description": " "},
        {"description": "x" * 501},
        {"description": "hidden\u202e"},
        {"type": promo_pb2.PROMO_TYPE_UNSPECIFIED},
        {"type": 99},
        {"ends_at": timestamp(in_days(-1))},
        {"starts_at": timestamp(in_days(2)), "ends_at": timestamp(in_days(1))},
    ],
)
async def test_bad_input_is_refused(gifts: Gifts, member: Member, fields: dict[str, Any]) -> None:
    assert await reason(gifts.give(member, **fields)) == "VALIDATION_FAILED"


@pytest.mark.covers("C7 PromoService.UpdatePromo")
async def test_a_promo_is_changed_and_audited(gifts: Gifts, member: Member) -> None:
    made = await gifts.give(member, ends_at=timestamp(in_days(1)))
    changed = await gifts.update(
        made.id, etag=made.etag, amount=150, description="More", active=False, clear=["ends_at"]
    )
    assert (changed.amount, changed.description, changed.active) == (150, "More", False)
    assert not changed.HasField("ends_at")
    assert changed.state == promo_pb2.PROMO_STATE_INACTIVE
    assert changed.etag != made.etag
    assert (await gifts.update(made.id)).etag == changed.etag
    assert await reason(gifts.update(made.id, etag=made.etag, amount=200)) == "ETAG_MISMATCH"
    stub = audit_pb2_grpc.AuditServiceStub(gifts.promos.platform.channels["identity"])
    request = audit_pb2.ListAuditEntriesRequest(target_id=made.id)

    async def audited() -> None:
        reply = await stub.ListAuditEntries(request, metadata=bearer(gifts.promos.admin))
        assert {entry.action for entry in reply.entries} == {"promo.created", "promo.updated"}

    await eventually(audited)


async def test_the_amount_is_never_lowered_below_what_is_used(gifts: Gifts, member: Member) -> None:
    made = await gifts.give(member, 100)
    await gifts.use(member, made.id, 30)
    assert await refusal(gifts.update(made.id, amount=29)) == (
        "PROMO_AMOUNT_BELOW_USED",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"promo_id": made.id, "used": "30"},
    )
    assert (await gifts.update(made.id, amount=30)).state == promo_pb2.PROMO_STATE_USED_UP


async def test_lowering_and_using_at_once_never_use_more_than_there_is(gifts: Gifts, member: Member) -> None:
    for _ in range(5):
        made = await gifts.give(member, 100)
        calls = [gifts.use(member, made.id, 10) for _ in range(10)]
        await at_once([*calls, *(gifts.update(made.id, amount=50) for _ in range(5))])
        kept = await gifts.get(made.id)
        assert kept.used == sum(use.amount for use in await gifts.uses(made.id)) <= kept.amount


async def test_a_window_can_not_be_turned_round(gifts: Gifts, member: Member) -> None:
    made = await gifts.give(member, ends_at=timestamp(in_days(1)))
    assert await reason(gifts.update(made.id, starts_at=timestamp(in_days(2)))) == "VALIDATION_FAILED"
    assert (
        await reason(gifts.update(made.id, ends_at=timestamp(in_days(2)), clear=["ends_at"]))
        == "VALIDATION_FAILED"
    )


@pytest.mark.covers("C7 PromoService.DeletePromo", "C7 PromoService.ListPromoUses")
async def test_a_deleted_promo_keeps_its_history(gifts: Gifts, member: Member) -> None:
    made = await gifts.give(member, 100)
    await gifts.use(member, made.id, 30)
    assert await reason(gifts.delete(made.id, etag="99")) == "ETAG_MISMATCH"
    await gifts.delete(made.id, etag=made.etag)
    await gifts.delete(made.id)
    assert await reason(gifts.use(member, made.id, 1)) == "PROMO_DELETED"
    assert await reason(gifts.update(made.id, amount=200)) == "PROMO_DELETED"
    kept = await gifts.get(made.id)
    assert (kept.state, kept.used) == (promo_pb2.PROMO_STATE_DELETED, 30)
    assert kept.HasField("deleted_at")
    assert [use.amount for use in await gifts.uses(made.id)] == [30]
    assert await gifts.list_mine(member) == []
    assert [promo.id for promo in (await gifts.list_all(member_id=str(member.id))).promos] == [made.id]


@pytest.mark.covers("C7 PromoService.ListPromos")
async def test_promos_are_found_by_member_type_and_state(gifts: Gifts, member: Member) -> None:
    first = await gifts.give(member, type=BIRTHDAY)
    second = await gifts.give(member, inactive=True)

    async def found(**filters: Any) -> list[str]:
        reply = await gifts.list_all(member_id=str(member.id), with_total=True, **filters)
        assert reply.total.count == len(reply.promos)
        return [promo.id for promo in reply.promos]

    assert await found() == [second.id, first.id]
    assert await found(order_by="created_at") == [first.id, second.id]
    assert await found(type=BIRTHDAY) == [first.id]
    assert await found(state=promo_pb2.PROMO_STATE_INACTIVE) == [second.id]


async def test_unknown_promos_are_not_found(gifts: Gifts) -> None:
    unknown = str(new_id())
    wanted = ("PROMO_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"promo_id": unknown})
    assert await refusal(gifts.get(unknown)) == wanted
    assert await refusal(gifts.update(unknown)) == wanted
    assert await refusal(gifts.delete(unknown)) == wanted
    assert await refusal(gifts.uses(unknown)) == wanted


async def test_only_admins_and_managers_give_promos(gifts: Gifts, member: Member, platform: Platform) -> None:
    assert (await gifts.give(member, token=await platform.token("manager"))).remaining == 100
    for role in ("cashier", "brand_manager", "till", "member"):
        assert await reason(gifts.give(member, token=await platform.token(role))) == "ROLE_NOT_ALLOWED"
