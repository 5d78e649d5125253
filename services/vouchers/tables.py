"""All tables of vouchers, for migrations and tests."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase

from services.common.tables import TYPES, idempotency_table, members_table, new_metadata, outbox_table


class Base(DeclarativeBase):
    """All tables of vouchers."""

    metadata = new_metadata()
    type_annotation_map = TYPES


idempotency_table(Base.metadata)
members_table(Base.metadata)
outbox_table(Base.metadata)

# Each feature describes its own tables; they need Base, so they come after it.
import services.vouchers.catalogue.tables  # noqa: E402
import services.vouchers.orders.tables  # noqa: E402
import services.vouchers.wallet.tables  # noqa: E402, F401
