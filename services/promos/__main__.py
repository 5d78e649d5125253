"""The command line of promos. Each command loads only what it runs."""

from __future__ import annotations

from services.common.process import main
from services.promos.settings import Settings

if __name__ == "__main__":
    main(
        "promos",
        Settings,
        {
            "serve": "services.promos.server:serve",
            "worker": "services.promos.worker:work",
        },
    )
