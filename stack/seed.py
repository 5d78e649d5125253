"""Load the sample data into a running stack, once: `python -m stack.seed <endpoints.json> <marker>`."""

import asyncio
import sys
from pathlib import Path

from stack.endpoints import Endpoints
from stack.files import write_private
from stack.sample import load


def main(endpoints_file: Path, marker: Path) -> None:
    """Load the data, then leave the marker that says so."""
    endpoints = Endpoints.read(endpoints_file)
    asyncio.run(load(endpoints.edge_url, endpoints.admin_user_name, endpoints.admin_password))
    write_private(marker, "{}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
