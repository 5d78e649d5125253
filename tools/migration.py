"""Writes a service's next migration from its tables: `python -m tools.migration points "add tiers"`.

Starts a scratch PostgreSQL, brings it to the newest version, compares it with the tables, and writes
the difference to `services/<name>/migrations/versions`. Read what it wrote before you commit it.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config

from services.common import schema
from stack.postgres import Postgres

SERVICES = Path(__file__).resolve().parent.parent / "services"


def main() -> None:
    """Parses the command line and writes the migration."""
    parser = argparse.ArgumentParser(prog="python -m tools.migration", description=__doc__)
    parser.add_argument("service", choices=["identity", "points", "vouchers", "promos"])
    parser.add_argument("message", help="what changes, in a few words")
    arguments = parser.parse_args()
    versions = SERVICES / arguments.service / "migrations" / "versions"
    versions.mkdir(exist_ok=True)
    last = schema.head(arguments.service) if list(versions.glob("[0-9]*.py")) else "0000"
    slug = re.sub(r"[^a-z0-9]+", "_", arguments.message.lower()).strip("_")
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder), fsync=False)
        server.start()
        try:
            server.create_database(arguments.service)
            config = Config()
            config.set_main_option("script_location", str(versions.parent))
            config.set_main_option("file_template", f"%%(rev)s_{slug}")
            config.attributes["database_url"] = server.url(arguments.service)
            command.upgrade(config, "head")
            command.revision(config, arguments.message, autogenerate=True, rev_id=f"{int(last) + 1:04d}")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
