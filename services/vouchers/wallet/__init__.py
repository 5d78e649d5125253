"""What members own: the vouchers that they got for points, with their codes.

Owns `wallet_vouchers` and `wallet_codes`. A row of the first is written by orders, in the statement that
completes one. promos is asked for a code once, and tells what becomes of it.
"""

from services.vouchers.wallet.queries import WALLET_VOUCHERS as WALLET_VOUCHERS

__all__ = ["WALLET_VOUCHERS"]
