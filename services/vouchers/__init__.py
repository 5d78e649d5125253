"""What you can get: catalogue, stock, orders, wallet."""
