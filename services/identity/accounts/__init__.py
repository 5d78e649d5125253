"""Accounts: what a person logs in with, member or staff.

Owns the tables `accounts` and `known_places`, and the view `login_accounts`, which adds the role of each
account. What a member or staff is beside that stands in their own rooms.
"""

from services.identity.accounts.changes import Contact as Contact
from services.identity.accounts.changes import close_account as close_account
from services.identity.accounts.changes import confirm_email_of as confirm_email_of
from services.identity.accounts.changes import lock_contact as lock_contact
from services.identity.accounts.changes import set_member_status as set_member_status
from services.identity.accounts.changes import set_password_hash as set_password_hash
from services.identity.accounts.changes import set_phone as set_phone
from services.identity.accounts.commands import count_session_change as count_session_change
from services.identity.accounts.commands import forget_old_places as forget_old_places
from services.identity.accounts.commands import forget_places as forget_places
from services.identity.accounts.commands import lock_active_account as lock_active_account
from services.identity.accounts.commands import remember_places as remember_places
from services.identity.accounts.commands import replace_password_hash as replace_password_hash
from services.identity.accounts.commands import set_password_hash_of as set_password_hash_of
from services.identity.accounts.guesses import PER_ADDRESS as PER_ADDRESS
from services.identity.accounts.guesses import CountedLimits as CountedLimits
from services.identity.accounts.guesses import Guesses as Guesses
from services.identity.accounts.phones import as_e164 as as_e164
from services.identity.accounts.phones import to_e164 as to_e164
from services.identity.accounts.places import Place as Place
from services.identity.accounts.queries import AccountRow as AccountRow
from services.identity.accounts.queries import account_not_found as account_not_found
from services.identity.accounts.queries import account_of as account_of
from services.identity.accounts.queries import find_account as find_account
from services.identity.accounts.queries import get_account as get_account
from services.identity.accounts.queries import id_of_recipient as id_of_recipient
from services.identity.accounts.recipients import Recipient as Recipient
from services.identity.accounts.refusals import credentials_not_valid as credentials_not_valid
from services.identity.accounts.refusals import current_password_not_valid as current_password_not_valid

__all__ = [
    "PER_ADDRESS",
    "AccountRow",
    "Contact",
    "CountedLimits",
    "Guesses",
    "Place",
    "Recipient",
    "account_not_found",
    "account_of",
    "as_e164",
    "close_account",
    "confirm_email_of",
    "count_session_change",
    "credentials_not_valid",
    "current_password_not_valid",
    "find_account",
    "forget_old_places",
    "forget_places",
    "get_account",
    "id_of_recipient",
    "lock_active_account",
    "lock_contact",
    "remember_places",
    "replace_password_hash",
    "set_member_status",
    "set_password_hash",
    "set_password_hash_of",
    "set_phone",
    "to_e164",
]
