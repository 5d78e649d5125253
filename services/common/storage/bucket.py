"""Files in a bucket of S3, or of what speaks as S3 does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from services.common.errors import unavailable

if TYPE_CHECKING:
    from obstore.store import S3Store

log = logging.getLogger(__name__)

T = TypeVar("T")


class Bucket:
    """A storage in a bucket, which is there already.

    `endpoint` is empty for Amazon's own; with `http://` it is called without TLS.
    """

    def __init__(self, bucket: str, *, endpoint: str, region: str, key_id: str, secret: str) -> None:
        from obstore.store import S3Store  # noqa: PLC0415  # few have a bucket, and it is slow to load

        other: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
        self._store: S3Store = S3Store(
            bucket,
            region=region,
            access_key_id=key_id,
            secret_access_key=secret,
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=1),
                "timeout": timedelta(seconds=4),
            },
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=5)},
            **other,
        )

    async def put(self, name: str, data: bytes) -> None:
        """Keeps a file."""
        await _run(self._store.put_async(name, data))

    async def get(self, name: str) -> bytes | None:
        """Returns a file, None when there is none."""
        try:
            found = await _run(self._store.get_async(name))
        except FileNotFoundError:
            return None
        return bytes(await _run(found.bytes_async()))

    async def delete(self, names: Collection[str]) -> None:
        """Removes files."""
        if names:
            await _run(self._store.delete_async(list(names)))

    async def older_than(self, age: timedelta) -> AsyncIterator[Collection[str]]:
        """Returns the names of old files."""
        before = datetime.now(UTC) - age
        pages = aiter(self._store.list(chunk_size=1_000))
        while True:
            try:
                page = await _run(anext(pages))
            except StopAsyncIteration:
                return
            yield [one["path"] for one in page if one["last_modified"] < before]


async def _run(work: Awaitable[T]) -> T:
    from obstore.exceptions import BaseError  # noqa: PLC0415

    try:
        return await work
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        log.warning("the bucket of files does not do what it is asked: %s", type(error).__name__)
        raise unavailable("storage") from None
