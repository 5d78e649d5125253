"""Where a call comes from, device and network address: by it an owner is told from strangers."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.identity.keys import Vault


@dataclass(frozen=True)
class Place:
    """A device as it names itself, empty when it does not, and a network address."""

    device_id: str
    address: str

    def device_hash(self, vault: Vault, account_id: UUID) -> bytes | None:
        """Returns the keyed hash of the device, or None when it has no name."""
        return vault.hash_place(account_id, f"device:{self.device_id}") if self.device_id else None

    def address_hash(self, vault: Vault, account_id: UUID) -> bytes:
        """Returns the keyed hash of the address."""
        return vault.hash_place(account_id, f"address:{self.address}")

    def hashes(self, vault: Vault, account_id: UUID) -> list[bytes]:
        """Returns the hashes of both; another account has others."""
        found = (self.device_hash(vault, account_id), self.address_hash(vault, account_id))
        return [one for one in found if one is not None]
