"""What happened to a code: who did what, when and where."""

from __future__ import annotations

from typing import Any

import pytest
from scrip.promos.v1 import code_file_pb2

from services.common.ids import new_id
from services.promos.tests.files_help import Files, new_set, some_codes
from services.promos.tests.support import CLOSED, Promos
from tests.inprocess import Platform, reason

MADE = code_file_pb2.CODE_EVENT_KIND_MADE
ASSIGNED = code_file_pb2.CODE_EVENT_KIND_ASSIGNED
REDEEMED = code_file_pb2.CODE_EVENT_KIND_REDEEMED
CANCELLED = code_file_pb2.CODE_EVENT_KIND_REDEMPTION_CANCELLED
VOIDED = code_file_pb2.CODE_EVENT_KIND_VOIDED
EXPIRED = code_file_pb2.CODE_EVENT_KIND_EXPIRED


@pytest.mark.covers("C1 CodeFileService.ListCodeEvents")
async def test_the_history_of_a_code_tells_who_when_and_where(
    promos: Promos, files: Files, platform: Platform
) -> None:
    owner, order, client, clerk = new_id(), new_id(), new_id(), new_id()
    till, manager = await platform.token("till", client), await platform.token("manager", clerk)
    [code_id] = await promos.assign(await promos.code_set(1), order=order, owner=owner)
    code = (await promos.get([code_id]))[code_id].code
    first = await promos.redeem(code, "R-1", till, till_number="7")
    await promos.cancel(first.id, manager)
    second = await promos.redeem(code, "R-2", till)
    await promos.cancel(second.id, till)
    await Files(promos, manager).void(code_id, "Lost")
    events = await files.events(code_id)
    kinds = [MADE, ASSIGNED, REDEEMED, CANCELLED, REDEEMED, CANCELLED, VOIDED]
    assert [one.kind for one in events] == kinds
    moments = [one.occurred_at.ToDatetime() for one in events]
    assert moments == sorted(moments)
    made, assigned, redeemed, cancelled, _, _, voided = events
    assert (made.actor_id, made.code_import_id) == ("", "")
    assert (assigned.member_id, assigned.order_id) == (str(owner), str(order))
    assert (redeemed.actor_id, redeemed.actor_role, redeemed.redemption_id) == (str(client), "till", first.id)
    assert (redeemed.till_number, redeemed.sale_reference) == ("7", "R-1")
    assert (cancelled.redemption_id, cancelled.till_number) == (first.id, "7")
    assert (cancelled.actor_id, cancelled.actor_role) == (str(clerk), "manager")
    assert redeemed.member_id == str(owner)
    assert (voided.actor_id, voided.actor_role, voided.void_note) == (str(clerk), "manager", "Lost")
    assert voided.void_reason == code_file_pb2.VOID_REASON_STAFF


async def test_an_imported_code_tells_in_which_file_it_came(
    promos: Promos, files: Files, platform: Platform
) -> None:
    clerk = new_id()
    code_set_id = await new_set(promos)
    loader = Files(promos, await platform.token("manager", clerk))
    done = await loader.upload(code_set_id, f"code\n{some_codes(1)[0]}\n")
    [code] = await files.codes(code_set_id)
    [made] = await files.events(code.id)
    assert (made.kind, made.code_import_id, made.actor_id) == (MADE, done.id, str(clerk))
    assert made.actor_role == "manager"


async def test_it_tells_why_a_code_was_withdrawn_by_scrip(promos: Promos, files: Files) -> None:
    order = new_id()
    [released] = await promos.assign(await promos.code_set(1), order=order)
    await promos.release(order)
    await promos.campaign(places=1)
    winner = await promos.first_login()
    await promos.apply(winner, version=3, event=CLOSED)
    find = "SELECT id::text FROM codes WHERE owner_member_id = %(owner)s"
    closed = await promos.value(find, owner=winner)
    for code_id, why in (
        (released, code_file_pb2.VOID_REASON_ORDER_RELEASED),
        (closed, code_file_pb2.VOID_REASON_ACCOUNT_CLOSED),
    ):
        events = await files.events(code_id)
        assert [one.kind for one in events] == [MADE, ASSIGNED, VOIDED]
        assert (events[-1].void_reason, events[-1].actor_id) == (why, "")


async def test_the_end_of_its_time_is_part_of_it(promos: Promos, files: Files) -> None:
    code_set_id = await new_set(promos)
    await files.upload(code_set_id, "code\n" + "\n".join(some_codes(2)))
    first, second = await files.codes(code_set_id)
    await files.void(second.id)
    await promos.execute("UPDATE code_sets SET expires_at = now() WHERE id = %(id)s", id=code_set_id)
    assert [one.kind for one in await files.events(first.id)] == [MADE, EXPIRED]
    assert [one.kind for one in await files.events(second.id)] == [MADE, VOIDED], "withdrawn before it"


async def test_a_long_history_comes_in_pages(promos: Promos, files: Files) -> None:
    code = await promos.assigned_code()
    for number in range(3):
        redemption = await promos.redeem(code.code, f"R-{number}")
        await promos.cancel(redemption.id)
    whole = await files.event_page(code.id, with_total=True)
    assert (len(whole.events), whole.total.count, whole.next_page_token) == (8, 8, "")
    found: list[Any] = []
    token = ""
    while token or not found:
        page = await files.event_page(code.id, page_size=3, page_token=token)
        found += page.events
        token = page.next_page_token
    assert found == list(whole.events)
    wrong = (await files.event_page(code.id, page_size=3)).next_page_token
    other = await promos.assigned_code()
    assert await reason(files.events(other.id, page_token=wrong)) == "PAGE_TOKEN_NOT_VALID"
