"""Which images a voucher has, in which order: a part of its row. Their bytes are elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from services.common.db import Connection, execute, fetch_all
from services.vouchers.catalogue.queries import VoucherRow, get_voucher


@dataclass(frozen=True, slots=True)
class VoucherImage:
    """An image. Width and height are pixels; `digest` is of what was sent, in hexadecimal."""

    id: str
    content_type: str
    width: int
    height: int
    digest: str


def images_of(row: VoucherRow) -> Sequence[VoucherImage]:
    """Returns a voucher's images in their order."""
    return [VoucherImage(**image) for image in row.images]


async def set_images(connection: Connection, voucher_id: UUID, images: Sequence[VoucherImage]) -> VoucherRow:
    """Gives a voucher, whose row is locked, these images in this order, and returns it."""
    await execute(
        connection,
        "UPDATE vouchers SET images = %(images)s, version = version + 1 WHERE id = %(id)s",
        id=voucher_id,
        images=Jsonb([asdict(image) for image in images]),
    )
    return await get_voucher(connection, voucher_id)


_IMAGES = SQL(
    """
    SELECT image.* FROM unnest(%(ids)s::text[]) wanted
    JOIN vouchers v ON v.images @> jsonb_build_array(jsonb_build_object('id', wanted))
    CROSS JOIN jsonb_to_recordset(v.images)
      AS image(id text, content_type text, width int, height int, digest text)
    WHERE image.id = wanted
    """
)


async def find_images(connection: Connection, ids: Collection[str]) -> Sequence[VoucherImage]:
    """Returns those of these images that a voucher has."""
    return await fetch_all(connection, VoucherImage, _IMAGES, ids=list(ids))
