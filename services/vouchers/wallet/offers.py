"""Wallet vouchers on offer as gifts: nobody can use those, and an accepted one changes its wallet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.common.db import Connection, execute, fetch_all, fetch_first
from services.common.errors import DomainError
from services.vouchers.wallet.refusals import wallet_voucher_not_found, wallet_voucher_on_offer


@dataclass(frozen=True, slots=True)
class OnOffer:
    """A wallet voucher that is on offer as a gift since this moment."""

    id: UUID
    gift_id: UUID
    voucher_id: UUID
    order_id: UUID
    code_id: UUID


async def put_on_offer(
    connection: Connection, *, member_id: UUID, gift_ids: Mapping[UUID, UUID]
) -> Sequence[OnOffer]:
    """Puts a member's wallet vouchers on offer, each as the gift that is given for it by its id.

    Raises WALLET_VOUCHER_NOT_FOUND, and WALLET_VOUCHER_ON_OFFER when one is on offer already.
    """
    wallet_ids = sorted(gift_ids)
    offered = await fetch_all(
        connection,
        OnOffer,
        """
        UPDATE wallet_vouchers w SET gift_id = g.gift_id
        FROM unnest(%(ids)s::uuid[], %(gift_ids)s::uuid[]) AS g (id, gift_id)
        WHERE w.id = g.id AND w.member_id = %(member_id)s AND w.gift_id IS NULL
        RETURNING w.id, w.gift_id, w.voucher_id, w.order_id, w.code_id
        """,
        ids=wallet_ids,
        gift_ids=[gift_ids[wallet_id] for wallet_id in wallet_ids],
        member_id=member_id,
    )
    missing = gift_ids.keys() - {one.id for one in offered}
    if missing:
        raise await _why_not(connection, missing.pop(), member_id)
    return offered


@dataclass(frozen=True, slots=True)
class _Offer:
    gift_id: UUID | None


async def _why_not(connection: Connection, wallet_id: UUID, member_id: UUID) -> DomainError:
    found = await fetch_first(
        connection,
        _Offer,
        "SELECT gift_id FROM wallet_vouchers WHERE id = %(id)s AND member_id = %(member_id)s",
        id=wallet_id,
        member_id=member_id,
    )
    if found is None or found.gift_id is None:
        return wallet_voucher_not_found(wallet_id)
    return wallet_voucher_on_offer(found.gift_id)


async def end_offer(connection: Connection, *, wallet_voucher_id: UUID, gift_id: UUID) -> None:
    """Takes a wallet voucher off offer: its owner has it as before."""
    await execute(
        connection,
        "UPDATE wallet_vouchers SET gift_id = NULL WHERE id = %(id)s AND gift_id = %(gift_id)s",
        id=wallet_voucher_id,
        gift_id=gift_id,
    )


async def hand_over(
    connection: Connection, *, wallet_voucher_id: UUID, gift_id: UUID, member_id: UUID
) -> None:
    """Moves a wallet voucher that is on offer into another member's wallet, as the newest there."""
    await execute(
        connection,
        """
        UPDATE wallet_vouchers SET
          member_id = %(member_id)s, acquired_at = now(), gift_id = NULL, received_gift_id = gift_id
        WHERE id = %(id)s AND gift_id = %(gift_id)s
        """,
        id=wallet_voucher_id,
        gift_id=gift_id,
        member_id=member_id,
    )
