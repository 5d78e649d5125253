"""The command line of vouchers. Each command loads only what it runs."""

from __future__ import annotations

from services.common.process import main
from services.vouchers.settings import Settings

if __name__ == "__main__":
    main(
        "vouchers",
        Settings,
        {
            "serve": "services.vouchers.server:serve",
            "worker": "services.vouchers.worker:work",
        },
    )
