"""The proof that all books agree: ledger, balance, lots, debt, purchases, and what the cache holds.

Owns no table, and reads those of all rooms.
"""

from __future__ import annotations

from services.points.books.check_books import PATIENT_SECONDS as PATIENT_SECONDS
from services.points.books.check_books import BooksChecker as BooksChecker
from services.points.books.queries import unbalanced_members as unbalanced_members

__all__ = ["PATIENT_SECONDS", "BooksChecker", "unbalanced_members"]
