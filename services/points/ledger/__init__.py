"""Members' points: accounts, the entries that move them, the lots that they stand in, and orders' debits.

Owns `accounts`, `ledger_entries`, `lots`, `debits` and `debit_lots`. The account's row is locked first, and
account, entry and lots change together. `encoding` serves the handlers of other rooms.
"""

from __future__ import annotations

from services.points.ledger.account import Balance as Balance
from services.points.ledger.account import OnMoved as OnMoved
from services.points.ledger.commands.move_points import add_lot as add_lot
from services.points.ledger.commands.move_points import credit as credit
from services.points.ledger.commands.move_points import take as take
from services.points.ledger.commands.on_member_event import on_member_event as on_member_event
from services.points.ledger.entries import Entry as Entry
from services.points.ledger.entries import EntryKind as EntryKind
from services.points.ledger.entries import LedgerEntry as LedgerEntry
from services.points.ledger.entries import Moved as Moved
from services.points.ledger.entries import OfAdjustment as OfAdjustment
from services.points.ledger.expiry import EXPIRY_SECONDS as EXPIRY_SECONDS
from services.points.ledger.expiry import expire_due as expire_due
from services.points.ledger.purchase_points import LockedAccount as LockedAccount
from services.points.ledger.purchase_points import TakenBack as TakenBack
from services.points.ledger.purchase_points import count_purchase as count_purchase
from services.points.ledger.purchase_points import get_balance as get_balance
from services.points.ledger.purchase_points import get_lot as get_lot
from services.points.ledger.purchase_points import lock_account as lock_account
from services.points.ledger.purchase_points import take_back as take_back
from services.points.ledger.queries import balances_of as balances_of
from services.points.ledger.queries import first_bonus_is_due as first_bonus_is_due
from services.points.ledger.queries import get_points as get_points
from services.points.ledger.queries import list_balances as list_balances

__all__ = [
    "EXPIRY_SECONDS",
    "Balance",
    "Entry",
    "EntryKind",
    "LedgerEntry",
    "LockedAccount",
    "Moved",
    "OfAdjustment",
    "OnMoved",
    "TakenBack",
    "add_lot",
    "balances_of",
    "count_purchase",
    "credit",
    "expire_due",
    "first_bonus_is_due",
    "get_balance",
    "get_lot",
    "get_points",
    "list_balances",
    "lock_account",
    "on_member_event",
    "take",
    "take_back",
]
