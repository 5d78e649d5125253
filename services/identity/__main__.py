"""The command line of identity. Each command loads only what it runs."""

from __future__ import annotations

from services.common.process import main
from services.identity.settings import Settings

if __name__ == "__main__":
    main(
        "identity",
        Settings,
        {
            "serve": "services.identity.server:serve",
            "worker": "services.identity.worker:work",
            "rotate-keys": "services.identity.commands:rotate_keys",
            "forgive-guesses": "services.identity.commands:forgive_guesses",
        },
    )
