"""Bring the databases to their newest schema: `python -m stack.migrate identity=<url> points=<url> ...`.

One process for all of them, because importing Alembic takes longer than finding nothing to do.
"""

import sys

from services.common.migrations import upgrade


def main(arguments: list[str]) -> None:
    """Upgrade each database named as `service=url`."""
    for argument in arguments:
        service, _, url = argument.partition("=")
        upgrade(service, url)


if __name__ == "__main__":
    main(sys.argv[1:])
