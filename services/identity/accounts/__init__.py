"""Accounts: what a person logs in with, member or staff.

Owns the tables `accounts` and `known_places`, and the view `login_accounts`, which adds the role of each
account. What a member or staff is beside that stands in their own rooms.
"""

from services.identity.accounts.changes import Contact as Contact
from services.identity.accounts.changes import Deprived as Deprived
from services.identity.accounts.changes import OwnAccount as OwnAccount
from services.identity.accounts.changes import close_account as close_account
from services.identity.accounts.changes import count_change as count_change
from services.identity.accounts.changes import deprive_of_email as deprive_of_email
from services.identity.accounts.changes import lock_account as lock_account
from services.identity.accounts.changes import lock_contact as lock_contact
from services.identity.accounts.changes import lock_own_account as lock_own_account
from services.identity.accounts.changes import lock_with_holder_of as lock_with_holder_of
from services.identity.accounts.changes import set_confirmed_email as set_confirmed_email
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
from services.identity.accounts.queries import proven_contact as proven_contact
from services.identity.accounts.recipients import Recipient as Recipient
from services.identity.accounts.refusals import credentials_not_valid as credentials_not_valid
from services.identity.accounts.refusals import current_password_not_valid as current_password_not_valid

__all__ = [
    "PER_ADDRESS",
    "AccountRow",
    "Contact",
    "CountedLimits",
    "Deprived",
    "Guesses",
    "OwnAccount",
    "Place",
    "Recipient",
    "account_not_found",
    "account_of",
    "as_e164",
    "close_account",
    "count_change",
    "count_session_change",
    "credentials_not_valid",
    "current_password_not_valid",
    "deprive_of_email",
    "find_account",
    "forget_old_places",
    "forget_places",
    "get_account",
    "id_of_recipient",
    "lock_account",
    "lock_active_account",
    "lock_contact",
    "lock_own_account",
    "lock_with_holder_of",
    "proven_contact",
    "remember_places",
    "replace_password_hash",
    "set_confirmed_email",
    "set_member_status",
    "set_password_hash",
    "set_password_hash_of",
    "set_phone",
    "to_e164",
]
