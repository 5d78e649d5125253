"""Who a person is that calls, and what its role may do: for user interfaces. Owns no table."""
