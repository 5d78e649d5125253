"""What members own: the vouchers that they got for points, with their codes.

Owns `wallet_vouchers`. A row is written by orders, in the statement that completes one; promos is asked for
codes and their state.
"""

from services.vouchers.wallet.queries import WALLET_VOUCHERS as WALLET_VOUCHERS

__all__ = ["WALLET_VOUCHERS"]
