"""Tables of tills."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, false, func, text, true
from sqlalchemy.orm import Mapped, mapped_column

from services.identity.tables import Base


class Client(Base):
    """A till or a store server. The old secret goes on until `old_secret_ends_at`.

    One that is deleted stays, because receipts name it, and its name can be given to another. `secret_hash`
    is NULL from being disabled until the next secret. Tokens name the `token_series` in which they were
    issued, and are refused when it is another one; `token_version` counts the changes of what
    BatchCheckSessions returns, `version`, the etag, those of what staff see.
    """

    __tablename__ = "clients"
    __table_args__ = (
        CheckConstraint("NOT (deleted AND enabled)", name="deleted_is_disabled"),
        Index("uq_clients_display_name", "display_name", unique=True, postgresql_where=text("NOT deleted")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    display_name: Mapped[str]
    secret_hash: Mapped[bytes | None]
    old_secret_hash: Mapped[bytes | None]
    old_secret_ends_at: Mapped[datetime | None]
    enabled: Mapped[bool] = mapped_column(server_default=true())
    deleted: Mapped[bool] = mapped_column(server_default=false())
    version: Mapped[int] = mapped_column(BigInteger, server_default="1")
    token_series: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    token_version: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
