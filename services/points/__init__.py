"""What members earned: purchases, ledger, balances."""
