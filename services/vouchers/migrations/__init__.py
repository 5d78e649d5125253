"""Vouchers' chain of migrations."""
