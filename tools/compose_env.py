"""Makes `.env` for docker-compose.yml: a copy of `.env.example`, its empty values filled with fresh secrets.

Needs no installed package, so that `make env` works on a machine that only has containers.
"""

import base64
import hashlib
import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HASH_SUFFIX = "_SHA256"


def fill(template: str) -> str:
    """Returns the text with a secret for every empty value; `NAME_SHA256` becomes the hash of `NAME`."""
    values: dict[str, str] = {}
    lines = []
    for line in template.splitlines():
        name, assigned, value = line.partition("=")
        if line.startswith("#") or not assigned:
            lines.append(line)
        else:
            values[name] = value or _secret(name, values)
            lines.append(f"{name}={values[name]}")
    return "\n".join(lines) + "\n"


def _secret(name: str, earlier: dict[str, str]) -> str:
    if name.endswith(HASH_SUFFIX):
        return hashlib.sha256(earlier[name.removesuffix(HASH_SUFFIX)].encode()).hexdigest()
    if name in ("SCRIP_MASTER_KEY", "SCRIP_WEBHOOK_KEY"):
        return base64.b64encode(secrets.token_bytes(32)).decode()
    # Hexadecimal needs no quoting, neither in a URL nor by compose.
    return secrets.token_hex(24)


def main() -> int:
    """Writes .env, readable by its owner only, and never over an existing one."""
    text = fill((ROOT / ".env.example").read_text())
    try:
        handle = os.open(ROOT / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(".env exists and is kept: its secrets belong to the data. Move it away to make another.")
        return 1
    with os.fdopen(handle, "w") as file:
        file.write(text)
    print("Wrote .env; SCRIP_ADMIN_PASSWORD in it is the first admin's password.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
