"""Why a wallet refuses."""

from __future__ import annotations

from uuid import UUID

from services.common.errors import DomainError


def wallet_voucher_on_offer(gift_id: UUID) -> DomainError:
    """The voucher is on offer as a gift."""
    return DomainError(
        "WALLET_VOUCHER_ON_OFFER", "this voucher is on offer as a gift: withdraw that first", gift_id=gift_id
    )


def wallet_voucher_not_found(wallet_id: UUID) -> DomainError:
    """There is no such voucher, or it is in another member's wallet."""
    return DomainError(
        "WALLET_VOUCHER_NOT_FOUND", "no such voucher in your wallet", wallet_voucher_id=wallet_id
    )
