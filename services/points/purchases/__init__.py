"""Receipts that tills report, recorded once each, singly, in batches and in streams, with what they earn.

Owns `receipts`, `purchases`, `purchase_items`, `used_codes` (signed member codes, each bound to one receipt)
and `unclaimed_purchases` (recorded without a member). `statements` writes the ledger's tables too, in the
one statement that records a batch. `encoding` serves the handlers of other rooms.
"""

from __future__ import annotations

from services.points.purchases.access import own_client as own_client
from services.points.purchases.changes import KeptPurchase as KeptPurchase
from services.points.purchases.changes import NewOwner as NewOwner
from services.points.purchases.changes import bind_code as bind_code
from services.points.purchases.changes import get_kept_purchase as get_kept_purchase
from services.points.purchases.changes import get_sold_lines as get_sold_lines
from services.points.purchases.changes import give_to_member as give_to_member
from services.points.purchases.changes import lock_unclaimed as lock_unclaimed
from services.points.purchases.changes import lower_expected_points as lower_expected_points
from services.points.purchases.changes import note_returned as note_returned
from services.points.purchases.member_codes import SignedCode as SignedCode
from services.points.purchases.member_codes import may_be_a_code as may_be_a_code
from services.points.purchases.member_codes import read_member_code as read_member_code
from services.points.purchases.purchase import CLAIM_CODE_LENGTH as CLAIM_CODE_LENGTH
from services.points.purchases.purchase import Purchase as Purchase
from services.points.purchases.purchase import ReceiptKey as ReceiptKey
from services.points.purchases.purchase import SoldLine as SoldLine
from services.points.purchases.queries import PurchaseHead as PurchaseHead
from services.points.purchases.queries import find_claimable_head as find_claimable_head
from services.points.purchases.queries import find_purchase_head as find_purchase_head
from services.points.purchases.queries import get_purchase_head as get_purchase_head
from services.points.purchases.refusals import member_code_replayed as member_code_replayed
from services.points.purchases.refusals import member_code_unknown as member_code_unknown
from services.points.purchases.refusals import purchase_not_found as purchase_not_found

__all__ = [
    "CLAIM_CODE_LENGTH",
    "KeptPurchase",
    "NewOwner",
    "Purchase",
    "PurchaseHead",
    "ReceiptKey",
    "SignedCode",
    "SoldLine",
    "bind_code",
    "find_claimable_head",
    "find_purchase_head",
    "get_kept_purchase",
    "get_purchase_head",
    "get_sold_lines",
    "give_to_member",
    "lock_unclaimed",
    "lower_expected_points",
    "may_be_a_code",
    "member_code_replayed",
    "member_code_unknown",
    "note_returned",
    "own_client",
    "purchase_not_found",
    "read_member_code",
]
