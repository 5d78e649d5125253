"""Staff list the codes of a set, find one, and withdraw one."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from scrip.promos.v1 import code_file_pb2

from services.common.ids import new_id
from services.promos.code_files.tests.conftest import Brand
from services.promos.tests.files_help import Files, handed_out, new_set, some_codes
from services.promos.tests.support import FIVE_DOLLARS, Promos, at_once, in_days
from tests.inprocess import Platform, reason, refusal

READY = code_file_pb2.CODE_STATE_READY
USABLE = code_file_pb2.CODE_STATE_USABLE
USED = code_file_pb2.CODE_STATE_USED
EXPIRED = code_file_pb2.CODE_STATE_EXPIRED
VOID = code_file_pb2.CODE_STATE_VOID


@pytest.mark.covers("C1 CodeFileService.ListCodes")
async def test_codes_are_listed_in_the_order_of_their_making_and_by_state(
    promos: Promos, files: Files
) -> None:
    owner = new_id()
    code_set_id = await promos.code_set(4)
    used, void, assigned = await promos.assign(code_set_id, owner=owner, quantity=3)
    await promos.redeem((await promos.get([used]))[used].code, "R-1")
    await files.void(void)
    every = await files.codes(code_set_id)
    assert [one.id for one in every] == sorted(one.id for one in every)
    states = {one.id: one.state for one in every}
    [ready] = states.keys() - {used, void, assigned}
    assert states == {used: USED, void: VOID, assigned: USABLE, ready: READY}
    for state, code_id in ((USED, used), (VOID, void), (USABLE, assigned), (READY, ready)):
        assert [one.id for one in await files.codes(code_set_id, state=state)] == [code_id]
    assert await files.codes(code_set_id, state=EXPIRED) == []
    [one] = [one for one in every if one.id == assigned]
    assert (one.owner_member_id, one.code_set_id, one.uses, one.uses_allowed) == (
        str(owner),
        str(code_set_id),
        0,
        1,
    )
    assert one.HasField("assigned_at")
    assert one.code_display.replace("-", "") == one.code
    first = await files.page(code_set_id, page_size=3, with_total=True)
    assert (len(first.codes), first.total.count) == (3, 4)
    rest = await files.page(code_set_id, page_size=3, page_token=first.next_page_token)
    assert [*first.codes, *rest.codes] == every


async def test_a_code_whose_set_or_own_time_is_over_is_expired(promos: Promos, files: Files) -> None:
    by_set = await handed_out(promos, some_codes(2))
    await promos.execute("UPDATE code_sets SET expires_at = now() WHERE id = %(id)s", id=by_set)
    assert [one.state for one in await files.codes(by_set)] == [EXPIRED] * 2
    assert len(await files.codes(by_set, state=EXPIRED)) == 2
    assert await files.codes(by_set, state=USABLE) == []
    by_itself = await handed_out(promos, some_codes(3), expires_at=in_days(1))
    await promos.execute(
        "UPDATE codes SET expires_at = now() WHERE id ="
        " (SELECT id FROM codes WHERE code_set_id = %(id)s ORDER BY id LIMIT 1)",
        id=by_itself,
    )
    every = await files.codes(by_itself)
    assert [one.state for one in every] == [EXPIRED, USABLE, USABLE]
    assert await files.codes(by_itself, state=EXPIRED) == every[:1]
    assert await files.codes(by_itself, state=USABLE) == every[1:]


@pytest.mark.covers("C1 CodeFileService.LookUpCode")
async def test_a_code_that_is_read_aloud_is_found(promos: Promos, files: Files) -> None:
    owner = new_id()
    code = await promos.assigned_code(owner)
    spoken = f" {code.code[:4].lower()} {code.code[4:].replace('0', 'o').replace('1', 'i')}"
    found = await files.find(spoken)
    assert (found.code.id, found.code.owner_member_id, found.code.state) == (code.id, str(owner), USABLE)
    assert (found.benefit, found.enabled, found.brand_id) == (FIVE_DOLLARS, True, "")
    for text in ("0000-0000-0000", "?", "\N{PILE OF POO}", "'; --"):
        name, status, metadata = await refusal(files.find(text))
        assert (name, status, metadata) == ("CODE_NOT_VALID", grpc.StatusCode.NOT_FOUND, {})
    for text in ("", "x" * 65):
        assert await reason(files.find(text)) == "VALIDATION_FAILED"


@pytest.mark.covers("C1 CodeFileService.VoidCode")
async def test_a_code_that_staff_withdraw_is_not_redeemed_and_gets_no_successor(
    promos: Promos, files: Files
) -> None:
    code_set_id = await handed_out(promos, some_codes(2))
    first, second = await files.codes(code_set_id)
    voided = await files.void(first.id, "Printed twice")
    assert (voided.state, voided.void_note) == (VOID, "Printed twice")
    assert voided.void_reason == code_file_pb2.VOID_REASON_STAFF
    assert await files.void(first.id, "Another reason") == voided, "the first time counts"
    assert await reason(promos.redeem(first.code, "R-1")) == "CODE_VOID"
    assert await files.codes(code_set_id) == [voided, second]
    counts = "SELECT ARRAY[wanted, voided, made] FROM code_sets WHERE id = %(id)s"
    assert await promos.value(counts, id=code_set_id) == [1, 1, 2]
    version = "SELECT version FROM codes WHERE id = %(id)s"
    assert await promos.value(version, id=UUID(first.id)) == 2


async def test_fifty_who_withdraw_one_code_at_once_count_it_once(promos: Promos, files: Files) -> None:
    code_set_id = await handed_out(promos, some_codes(1))
    [code] = await files.codes(code_set_id)
    replies = await asyncio.gather(*(files.void(code.id, f"Number {n}") for n in range(50)))
    assert len({reply.void_note for reply in replies}) == 1
    assert await promos.value("SELECT voided FROM code_sets WHERE id = %(id)s", id=code_set_id) == 1


@pytest.mark.parametrize("purpose", ["VOUCHER", "DISCOUNT"])
async def test_a_code_that_nobody_has_yet_gets_a_successor(
    promos: Promos, files: Files, purpose: Any
) -> None:
    code_set_id = await new_set(promos, purpose, quantity=2)
    await promos.until_made(code_set_id, 2)
    [ready, _] = await files.codes(code_set_id)
    await files.void(ready.id)
    await promos.until_made(code_set_id, 2)
    assert len(await files.codes(code_set_id)) == 3
    assert len(await promos.assign(code_set_id, quantity=2)) == 2


async def test_an_order_whose_code_was_withdrawn_can_still_be_undone(promos: Promos, files: Files) -> None:
    code_set_id, order = await promos.code_set(2), new_id()
    first, _ = await promos.assign(code_set_id, order=order, quantity=2)
    await files.void(first)
    await promos.release(order)
    assert len(await files.codes(code_set_id, state=VOID)) == 2
    await promos.until_made(code_set_id, 2)


async def test_a_used_up_code_is_not_withdrawn(promos: Promos, files: Files) -> None:
    code_set_id = await handed_out(promos, some_codes(1), uses_allowed=2)
    [code] = await files.codes(code_set_id)
    await promos.redeem(code.code, "R-1")
    last = await promos.redeem(code.code, "R-2")
    name, status, metadata = await refusal(files.void(code.id))
    assert (name, status) == ("CODE_ALREADY_USED", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"code_id": code.id, "redeemed_at": last.redeemed_at.ToJsonString()}
    await promos.cancel(last.id)
    voided = await files.void(code.id)
    assert (voided.state, voided.uses) == (VOID, 1)
    assert await reason(promos.redeem(code.code, "R-3")) == "CODE_VOID"


async def test_a_code_is_withdrawn_or_used_up_never_both(promos: Promos, files: Files) -> None:
    for _ in range(10):
        [code] = await files.codes(await handed_out(promos, some_codes(1)))
        calls: list[Any] = [promos.redeem(code.code, "R-1"), files.void(code.id)]
        replies, refused = await at_once(calls)
        assert len(replies) == 1
        assert set(refused) <= {"CODE_VOID", "CODE_ALREADY_USED"}
        [after] = await files.codes(UUID(code.code_set_id))
        assert (after.state, after.uses) in {(USED, 1), (VOID, 0)}


async def test_a_winner_s_code_is_withdrawn_though_its_set_counts_none(
    promos: Promos, files: Files, platform: Platform
) -> None:
    campaign = await promos.campaign(places=1)
    await promos.first_login()
    [code] = await files.codes(UUID(campaign.id))
    assert (await files.void(code.id)).state == VOID
    assert await promos.value("SELECT voided FROM code_sets WHERE id = %(id)s", id=UUID(campaign.id)) == 0


@pytest.mark.parametrize("note", ["", " ", "x" * 201, "two\nlines", "hid\u202eden", "\0"])
async def test_a_code_is_withdrawn_with_a_reason_that_can_be_read(
    promos: Promos, files: Files, note: str
) -> None:
    [code] = await files.codes(await handed_out(promos, some_codes(1)))
    assert await reason(files.void(code.id, note)) == "VALIDATION_FAILED"


async def test_what_does_not_exist_is_not_found(files: Files) -> None:
    unknown = uuid4()
    for call in refused_of_set(files, unknown):
        assert await reason(call) == "CODE_SET_NOT_FOUND"
    of_codes: list[Any] = [files.void(str(unknown)), files.events(str(unknown))]
    for call in of_codes:
        assert await reason(call) == "CODE_NOT_VALID"
    of_imports: list[Any] = [files.get_import(str(unknown)), files.refused(str(unknown))]
    for call in of_imports:
        name, _, metadata = await refusal(call)
        assert (name, metadata) == ("CODE_IMPORT_NOT_FOUND", {"code_import_id": str(unknown)})
    malformed: list[Any] = [files.void("x"), files.events(""), files.get_import("1")]
    for call in malformed:
        assert await reason(call) == "VALIDATION_FAILED"


@pytest.mark.covers("C6 CodeFileService.ListCodes")
async def test_a_brand_manager_sees_the_codes_of_its_own_brand_without_their_owners(
    promos: Promos, files: Files, brand: Brand, other_brand: Brand
) -> None:
    mine = await new_set(promos, "DISCOUNT", brand_id=brand.id, quantity=2)
    await promos.until_made(mine, 2)
    owner = new_id()
    assert await promos.value(
        "UPDATE codes SET state = 'ASSIGNED', owner_member_id = %(owner)s, assigned_at = now()"
        " WHERE id = (SELECT id FROM codes WHERE code_set_id = %(id)s ORDER BY id LIMIT 1) RETURNING true",
        id=mine,
        owner=owner,
    )
    seen = await brand.files.codes(mine)
    assert [one.owner_member_id for one in seen] == ["", ""]
    assert [one.owner_member_id for one in await files.codes(mine)] == [str(owner), ""]
    assert {row["owner_member_id"] for row in await brand.files.export(mine)} == {""}
    assert str(owner) in {row["owner_member_id"] for row in await files.export(mine)}
    assert (await brand.files.find(seen[0].code)).code.owner_member_id == ""
    kinds = [(one.kind, one.member_id) for one in await brand.files.events(seen[0].id)]
    assert (code_file_pb2.CODE_EVENT_KIND_ASSIGNED, "") in kinds
    retailers = await handed_out(promos, some_codes(1))
    [code] = await files.codes(retailers)
    stranger = other_brand.files
    for theirs in (mine, retailers):
        for call in refused_of_set(stranger, theirs):
            assert await reason(call) == "BRAND_NOT_YOURS"
    for one in (code, seen[0]):
        calls: list[Any] = [stranger.void(one.id), stranger.events(one.id), stranger.find(one.code)]
        for call in calls:
            assert await reason(call) == "CODE_NOT_VALID"
    assert (await brand.files.void(seen[1].id)).state == VOID


def refused_of_set(files: Files, code_set_id: UUID) -> list[Any]:
    """Returns every call that names a set."""
    return [
        files.codes(code_set_id),
        files.export(code_set_id),
        files.imports(code_set_id),
        files.sheet(code_set_id),
        files.upload(code_set_id, "code\nABCD\n"),
    ]


@pytest.mark.parametrize("role", ["member", "till", "cashier"])
async def test_only_those_who_look_after_codes_may_see_them(
    promos: Promos, platform: Platform, role: str
) -> None:
    somebody, any_id = Files(promos, await platform.token(role)), str(uuid4())
    calls = [
        *refused_of_set(somebody, uuid4()),
        somebody.find("ABCD"),
        somebody.events(any_id),
        somebody.void(any_id),
        somebody.get_import(any_id),
        somebody.refused(any_id),
    ]
    for call in calls:
        assert await reason(call) == "ROLE_NOT_ALLOWED"
