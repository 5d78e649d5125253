"""Where services keep files that are too large for a database: in a folder, or in a bucket of S3."""

from services.common.storage.storages import Storage as Storage
from services.common.storage.storages import StorageSettings as StorageSettings
from services.common.storage.storages import open_storage as open_storage

__all__ = ["Storage", "StorageSettings", "open_storage"]
