"""Gifts: given to a number, found by who has it, accepted once or returned."""

from __future__ import annotations

import asyncio
from uuid import UUID

import grpc
import pytest
from scrip.common.v1 import permission_pb2
from scrip.identity.v1 import notice_pb2
from scrip.vouchers.v1 import catalogue_pb2, gift_pb2

from services.common.ids import new_id
from services.vouchers.gifts.tests.giving import ACCEPTED, OFFERED, ON_OFFER, RETURNED, USABLE, Giving
from tests.inprocess import Member, bearer, eventually, new_phone, reason, refusal


@pytest.mark.covers(
    "V5 GiftService.GiveVoucher",
    "V5 GiftService.ListMyGifts",
    "V5 GiftService.GetMyGift",
    "V5 GiftService.AcceptGift",
    "V5 GiftService.ListMyGivenGifts",
    "V5 PromosInternalService.HoldCode",
    "V5 PromosInternalService.TransferCode",
)
async def test_a_gift_goes_from_wallet_to_wallet_and_only_its_owner_can_use_it(giving: Giving) -> None:
    giver, [owned] = await giving.owner()
    friend = await giving.platform.member()
    code = await giving.code(giver, owned)
    [bought] = await giving.wallet(giver)
    gift = await giving.give(giver, owned, friend.phone, message="For you\nA.")
    assert (gift.state, gift.recipient_name, gift.order_id) == (OFFERED, "Grace Hopper", bought.order_id)
    assert [(one.state, one.code, one.gift_id) for one in await giving.wallet(giver)] == [
        (ON_OFFER, "", gift.id)
    ]
    assert await reason(giving.qr(giver, owned)) == "WALLET_VOUCHER_ON_OFFER"
    assert await reason(giving.redeem(code)) == "CODE_ON_HOLD"
    [found] = await giving.received(friend)
    assert (found.id, found.title, found.message) == (gift.id, "$5 off", "For you\nA.")
    assert found.wallet_voucher_id == ""
    accepted = await giving.accept(friend, gift.id)
    assert (accepted.state, accepted.recipient_name) == (ACCEPTED, "")
    assert await giving.accept(friend, gift.id) == accepted
    assert await giving.received(friend) == []
    assert list(await giving.received(friend, ACCEPTED)) == [accepted]
    assert await giving.wallet(giver) == []
    [mine] = await giving.wallet(friend)
    assert (mine.id, mine.code, mine.state, mine.order_id) == (owned, code, USABLE, "")
    [seen] = await giving.given(giver)
    assert (seen.state, seen.recipient_name, seen.order_id) == (ACCEPTED, "", bought.order_id)
    passed_on = await giving.give(friend, owned, giver.phone)
    assert passed_on.order_id == "", "it is not the friend's order"
    await giving.withdraw(friend, passed_on.id)
    redeemed = await giving.redeem(code)
    assert redeemed.redemption.member_id == str(friend.id)


@pytest.mark.covers("V5 GiftService.DeclineGift", "V5 PromosInternalService.ReturnCode")
async def test_a_declined_gift_is_the_givers_again_who_is_not_told_why(giving: Giving) -> None:
    giver, [owned] = await giving.owner()
    friend = await giving.platform.member()
    code = await giving.code(giver, owned)
    gift = await giving.give(giver, owned, friend.phone, message="secret words")
    for _ in range(2):
        await giving.decline(friend, gift.id)
    assert await reason(giving.accept(friend, gift.id)) == "GIFT_ENDED"
    assert await giving.received(friend) == []
    [seen] = await giving.given(giver, state=RETURNED)
    assert (seen.recipient_name, seen.message) == ("", "")
    [mine] = await giving.wallet(giver)
    assert (mine.state, mine.code, mine.gift_id) == (USABLE, code, "")
    again = await giving.give(giver, owned, friend.phone)
    assert again.id != gift.id
    await giving.withdraw(giver, again.id)
    await giving.redeem(code)


@pytest.mark.covers("V5 GiftService.WithdrawGift")
async def test_a_giver_takes_a_gift_back_until_it_is_accepted(giving: Giving) -> None:
    giver, [owned, other] = await giving.owner(pieces=2)
    friend = await giving.platform.member()
    gift = await giving.give(giver, owned, friend.phone)
    for _ in range(2):
        assert (await giving.withdraw(giver, gift.id)).state == RETURNED
    assert await reason(giving.accept(friend, gift.id)) == "GIFT_NOT_FOUND"
    kept = await giving.give(giver, other, friend.phone)
    await giving.accept(friend, kept.id)
    assert await reason(giving.withdraw(giver, kept.id)) == "GIFT_ACCEPTED"
    assert await reason(giving.decline(friend, kept.id)) == "GIFT_ACCEPTED"
    assert await reason(giving.withdraw(friend, kept.id)) == "GIFT_NOT_FOUND"


async def test_who_registers_with_the_number_later_finds_the_gift(giving: Giving) -> None:
    giver, [owned] = await giving.owner()
    phone = new_phone()
    gift = await giving.give(giver, owned, phone)
    stranger = await giving.platform.member()
    assert await giving.received(stranger) == []
    for call in (giving.accept, giving.decline):
        assert await reason(call(stranger, gift.id)) == "GIFT_NOT_FOUND"
    friend = await giving.platform.member(phone=phone)
    assert [one.id for one in await giving.received(friend)] == [gift.id]
    await giving.accept(friend, gift.id)


async def test_what_is_not_accepted_in_time_returns(giving: Giving) -> None:
    giver, [owned] = await giving.owner()
    friend = await giving.platform.member()
    gift = await giving.give(giver, owned, friend.phone)
    await giving.run("UPDATE gifts SET returns_at = now() WHERE id = %(id)s", id=UUID(gift.id))
    assert await reason(giving.accept(friend, gift.id)) == "GIFT_ENDED"
    await giving.return_overdue()

    async def returned() -> None:
        assert [one.state for one in await giving.given(giver)] == [RETURNED]
        assert [one.state for one in await giving.wallet(giver)] == [USABLE]

    await eventually(returned)


async def test_the_same_key_gives_once_and_other_content_is_refused(giving: Giving) -> None:
    giver, [owned, other] = await giving.owner(pieces=2)
    phone, key = new_phone(), str(new_id())
    gifts = await asyncio.gather(*(giving.give(giver, owned, phone, key=key) for _ in range(5)))
    assert len({gift.id for gift in gifts}) == 1
    assert await reason(giving.give(giver, owned, new_phone(), key=key)) == "IDEMPOTENCY_KEY_REUSED"
    assert await reason(giving.give(giver, other, phone, key=key)) == "IDEMPOTENCY_KEY_REUSED"
    assert await reason(giving.give(giver, owned, phone)) == "WALLET_VOUCHER_ON_OFFER"
    await giving.withdraw(giver, gifts[0].id)
    assert (await giving.give(giver, owned, phone, key=key)).state == RETURNED


async def test_what_can_not_be_given_is_refused(giving: Giving) -> None:
    giver, [owned] = await giving.owner()
    other, [others] = await giving.owner(await giving.voucher(buy_type=catalogue_pb2.BUY_TYPE_SELF))
    phone = new_phone()
    assert await reason(giving.give(giver, owned, giver.phone)) == "GIFT_TO_ONESELF"
    assert await reason(giving.give(giver, others, phone)) == "WALLET_VOUCHER_NOT_FOUND"
    assert await reason(giving.give(other, others, phone)) == "GIFT_NOT_ALLOWED"
    for number in ("not a number", "+1 415 555", "+44 20 7946 0958"):
        assert await reason(giving.give(giver, owned, number)) == "VALIDATION_FAILED"
    await giving.redeem(await giving.code(giver, owned))
    key = str(new_id())
    for _ in range(2):
        assert await reason(giving.give(giver, owned, phone, key=key)) == "CODE_ALREADY_USED"
    assert await giving.given(giver) == []
    assert [one.gift_id for one in await giving.wallet(giver)] == [""]


async def test_one_person_gets_no_more_than_the_limit_even_from_many_at_once(giving: Giving) -> None:
    voucher = await giving.voucher(max_gifts_per_recipient=2, quantity=10)
    owners = [await giving.owner(voucher) for _ in range(5)]
    phone = new_phone()

    async def outcome(giver: Member, owned: str) -> str:
        try:
            return (await giving.give(giver, owned, phone)).id
        except grpc.aio.AioRpcError:
            return await reason(giving.give(giver, owned, phone))

    outcomes = await asyncio.gather(*(outcome(giver, owned) for giver, [owned] in owners))
    assert outcomes.count("RECIPIENT_LIMIT_REACHED") == 3
    first = next(place for place, one in enumerate(outcomes) if one != "RECIPIENT_LIMIT_REACHED")
    await giving.withdraw(owners[first][0], outcomes[first])
    refused = outcomes.index("RECIPIENT_LIMIT_REACHED")
    await giving.give(owners[refused][0], owners[refused][1][0], phone)
    name, _, metadata = await refusal(giving.give(owners[first][0], owners[first][1][0], phone))
    assert (name, metadata) == ("RECIPIENT_LIMIT_REACHED", {"limit": "2", "ordered": "2"})


async def test_of_all_that_happens_to_a_gift_at_once_one_wins(giving: Giving) -> None:
    for turn in range(4):
        giver, [owned] = await giving.owner()
        friend = await giving.platform.member()
        code = await giving.code(giver, owned)
        gift = await giving.give(giver, owned, friend.phone)
        if turn == 3:
            await giving.run("UPDATE gifts SET returns_at = now() WHERE id = %(id)s", id=UUID(gift.id))
        await asyncio.gather(
            giving.withdraw(giver, gift.id),
            giving.accept(friend, gift.id),
            giving.decline(friend, gift.id),
            giving.redeem(code),
            giving.return_overdue(),
            giving.withdraw(giver, gift.id),
            giving.accept(friend, gift.id),
            return_exceptions=True,
        )
        await eventually(lambda gift=gift: giving.has_ended(gift.id))  # type: ignore[misc]
        [seen] = await giving.given(giver)
        owners = [await giving.wallet(member) for member in (giver, friend)]
        winner = friend if seen.state == ACCEPTED else giver
        assert [len(wallet) for wallet in owners] == ([0, 1] if winner is friend else [1, 0])
        owner = await giving.value(
            "SELECT owner_member_id FROM codes WHERE code = %(code)s AND gift_id IS NULL",
            "promos",
            code=code.replace("-", ""),
        )
        assert owner == winner.id


@pytest.mark.covers(
    "V5 IdentityInternalService.PrepareGiftNotice",
    "V5 IdentityInternalService.SendGiftNotice",
    "V5 IdentityInternalService.ForgetGiftRecipient",
    "V5 IdentityInternalService.GetPhoneHash",
)
async def test_the_number_is_told_once_and_forgotten_at_the_end(giving: Giving) -> None:
    giver, [owned] = await giving.owner()
    phone = new_phone()
    gift = await giving.give(giver, owned, phone, name="Zebedee Q", message="unmistakable words")

    async def told() -> None:
        [notice] = await giving.told(giver)
        assert notice.notice.state == notice_pb2.NOTICE_STATE_SENT
        assert notice.notice.recipient == f"…{phone[-4:]}"
        assert "gift" in notice.text
        assert "Zebedee" not in notice.text

    await eventually(told)
    assert await giving.tables_with("Zebedee") == ["vouchers.gifts"]
    await giving.withdraw(giver, gift.id)

    async def forgotten() -> None:
        [notice] = await giving.told(giver)
        assert notice.notice.recipient == ""

    await eventually(forgotten)
    for words in (phone, phone[1:], "Zebedee", "unmistakable"):
        assert await giving.tables_with(words) == []
    phone_hash = giving.platform.vault.hash_phone(phone)
    assert (
        await giving.value("SELECT count(*) FROM gifts WHERE recipient_hash = %(hash)s", hash=phone_hash) == 0
    )


async def test_a_number_is_not_told_of_gifts_without_end_and_givers_do_not_learn_it(giving: Giving) -> None:
    giver, owned = await giving.owner(pieces=6)
    phone = new_phone()
    gifts = [await giving.give(giver, one, phone) for one in owned]
    assert {gift.state for gift in gifts} == {OFFERED}

    async def told() -> None:
        states = [one.notice.state for one in await giving.told(giver)]
        assert sorted(states) == [notice_pb2.NOTICE_STATE_SENT] * 5 + [notice_pb2.NOTICE_STATE_FAILED]

    await eventually(told)


async def test_a_number_given_up_receives_nothing_more(giving: Giving) -> None:
    giver, [owned] = await giving.owner()
    friend = await giving.platform.member()
    gift = await giving.give(giver, owned, friend.phone)
    await giving.platform.close_account(friend)
    heir = await giving.platform.member(phone=friend.phone)
    assert [one.id for one in await giving.received(heir)] == [gift.id]
    await giving.run(
        "UPDATE accounts SET phone = %(phone)s WHERE id = %(id)s", "identity", phone=new_phone(), id=heir.id
    )
    assert await giving.received(heir) == []
    assert await reason(giving.accept(heir, gift.id)) == "GIFT_NOT_FOUND"


async def test_a_gift_of_one_who_is_gone_is_good(giving: Giving) -> None:
    giver, [owned] = await giving.owner()
    friend = await giving.platform.member()
    code = await giving.code(giver, owned)
    gift = await giving.give(giver, owned, friend.phone, message="farewell words")
    await giving.platform.close_account(giver)
    await giving.accept(friend, gift.id)
    await giving.redeem(code)
    await giving.platform.close_account(friend)

    async def forgotten() -> None:
        assert await giving.tables_with("farewell words") == []

    await eventually(forgotten)


async def test_a_gift_whose_code_is_withdrawn_meanwhile_ends(giving: Giving) -> None:
    giver, [owned] = await giving.owner()
    friend = await giving.platform.member()
    gift = await giving.give(giver, owned, friend.phone)
    code_id = await giving.value("SELECT code_id FROM wallet_vouchers WHERE id = %(id)s", id=UUID(owned))
    await giving.void(code_id)
    assert await reason(giving.accept(friend, gift.id)) == "GIFT_ENDED"
    assert [one.state for one in await giving.given(giver)] == [RETURNED]


async def test_staff_and_tills_have_no_gifts(giving: Giving) -> None:
    request = gift_pb2.ListMyGiftsRequest()
    for role in (permission_pb2.ROLE_ADMIN, permission_pb2.ROLE_TILL):
        token = await giving.platform.token(permission_pb2.Role.Name(role).removeprefix("ROLE_").lower())
        assert await reason(giving.gifts.ListMyGifts(request, metadata=bearer(token))) == "ROLE_NOT_ALLOWED"
