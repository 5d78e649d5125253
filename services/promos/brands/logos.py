"""Where logos are kept: in the database, for now. Nothing else knows."""

from __future__ import annotations

from uuid import UUID

from services.common.db import Connection, execute
from services.common.ids import new_id
from services.common.qr import Image

LOGO_PIXELS = 512
"""The most in either direction."""


async def keep_logo(connection: Connection, image: Image) -> UUID:
    """Keeps an image and returns its id."""
    image_id = new_id()
    await execute(
        connection,
        "INSERT INTO logos (id, content_type, data) VALUES (%(id)s, %(content_type)s, %(data)s)",
        id=image_id,
        content_type=image.content_type,
        data=image.data,
    )
    return image_id


async def drop_logo(connection: Connection, image_id: UUID | None) -> None:
    """Removes an image that nothing names any more."""
    await execute(connection, "DELETE FROM logos WHERE id = %(id)s", id=image_id)
