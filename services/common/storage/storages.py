"""What a storage does, and which one the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from services.common.storage.bucket import Bucket
from services.common.storage.folder import Folder


class Storage(Protocol):
    """Files by their names, which have letters, figures, dots and hyphens alone.

    Each of these raises DEPENDENCY_UNAVAILABLE when the storage does not reply in time, or refuses.
    """

    async def put(self, name: str, data: bytes) -> None:
        """Keeps a file, as a whole or not at all. It replaces one of the same name."""

    async def get(self, name: str) -> bytes | None:
        """Returns a file, None when there is none."""

    async def delete(self, names: Collection[str]) -> None:
        """Removes files; those that are not there are none too many."""

    def older_than(self, age: timedelta) -> AsyncIterator[Collection[str]]:
        """Returns the names of the files that were put so long ago, some at a time."""


class StorageSettings(Protocol):
    """The settings of a service that keeps images. Without a bucket they are kept in the folder."""

    image_folder: str
    image_s3_bucket: str
    image_s3_endpoint: str
    image_s3_region: str
    image_s3_key_id: str
    image_s3_secret: SecretStr


def open_storage(settings: StorageSettings) -> Storage:
    """Returns the storage that the settings name. Nothing of it has to be closed."""
    if not settings.image_s3_bucket:
        return Folder(Path(settings.image_folder))
    return Bucket(
        settings.image_s3_bucket,
        endpoint=settings.image_s3_endpoint,
        region=settings.image_s3_region,
        key_id=settings.image_s3_key_id,
        secret=settings.image_s3_secret.get_secret_value(),
    )
