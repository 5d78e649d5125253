"""The command line of points. Each command loads only what it runs."""

from __future__ import annotations

from services.common.process import main
from services.points.settings import Settings

if __name__ == "__main__":
    main(
        "points",
        Settings,
        {
            "serve": "services.points.server:serve",
            "worker": "services.points.worker:work",
            "check-books": "services.points.commands:check_books",
        },
    )
