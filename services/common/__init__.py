"""Mechanism only: nothing in here knows what a voucher or a member is."""
