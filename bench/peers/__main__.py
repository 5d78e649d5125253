"""`python -m bench.peers <port> <database URL> <JWKS URL>`: one uvicorn process."""

from __future__ import annotations

import importlib.util
import sys

import uvicorn

from bench.peers.app import create_app


def main(port: str, database_url: str, jwks_url: str) -> None:
    """Serves until SIGTERM, with the fastest HTTP parser that is installed."""
    uvicorn.run(
        create_app(database_url, jwks_url),
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools" if importlib.util.find_spec("httptools") else "h11",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
