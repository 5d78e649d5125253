"""Secrets of one stack: made once, kept in a file that only its owner reads."""

import base64
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.files import write_private

SERVICES_WITH_SECRETS = ("points", "vouchers", "promos")


@dataclass(frozen=True)
class Secrets:
    """What the services are given at their start."""

    master_key: str
    """Base64 of 32 random bytes: identity encrypts its signing keys with it."""
    webhook_key: str
    """The same for promos, which encrypts the secrets of webhooks with it."""
    admin_password: str
    password_given: bool
    """Whether the admin's password came from outside."""
    service_secrets: dict[str, str]

    @property
    def service_secret_hashes(self) -> dict[str, str]:
        """SHA-256 of each service's secret, hexadecimal: all that identity needs to know."""
        return {
            name: hashlib.sha256(value.encode()).hexdigest() for name, value in self.service_secrets.items()
        }


def load_or_create(path: Path) -> Secrets:
    """Read the secrets, making those that do not exist yet.

    SCRIP_ADMIN_PASSWORD in the environment is used for the admin, and not written down.
    """
    kept = _read(path)
    known = dict(kept)
    master_key, webhook_key = (
        known.setdefault(name, base64.b64encode(secrets.token_bytes(32)).decode())
        for name in ("master_key", "webhook_key")
    )
    service_secrets = {
        service: known.setdefault(f"service_secret_{service}", secrets.token_urlsafe(32))
        for service in SERVICES_WITH_SECRETS
    }
    given = os.environ.get("SCRIP_ADMIN_PASSWORD")
    admin_password = given or known.setdefault("admin_password", secrets.token_urlsafe(15))
    if known != kept:
        write_private(path, json.dumps(known, indent=2) + "\n")
    return Secrets(master_key, webhook_key, admin_password, bool(given), service_secrets)


def kept_admin_password(path: Path) -> str | None:
    """Returns the admin's password that the stack made and keeps, or None."""
    return _read(path).get("admin_password")


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StackError(
            f"{path} is damaged ({error}): restore it, or forget all data with `make reset`"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise StackError(f"{path} is damaged: restore it, or forget all data with `make reset`")
    return found
