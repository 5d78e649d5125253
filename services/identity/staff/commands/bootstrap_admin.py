"""The first admin."""

from __future__ import annotations

from sqlalchemy import text

from services.common.ids import new_id
from services.common.legacy_db import Connection


async def bootstrap_admin(connection: Connection, *, user_name: str, password_hash: str) -> bool:
    """Makes the first admin unless there is staff already; answers whether it did."""
    made = await connection.execute(
        text(
            "WITH account AS (INSERT INTO accounts (id, kind, user_name, password_hash)"
            " SELECT :id, 'STAFF', :user_name, :password_hash WHERE NOT EXISTS (SELECT FROM staff)"
            " ON CONFLICT (user_name) DO NOTHING RETURNING id)"
            " INSERT INTO staff (id, full_name, role) SELECT id, 'Administrator', 'admin' FROM account"
            " RETURNING 1"
        ),
        {"id": new_id(), "user_name": user_name.lower(), "password_hash": password_hash},
    )
    return made.first() is not None
