"""The command line: `python -m stack up | status | reset | check-books | rotate-keys | validate-edge`."""

import argparse
import sys

from stack import envoy
from stack.errors import StackError
from stack.operate import COMMANDS, operate
from stack.postgres import Postgres
from stack.settings import Settings, read_settings
from stack.state import DataFolder
from stack.status import report
from stack.up import up


def parse(arguments: list[str]) -> tuple[str, Settings]:
    """Returns the command and the settings."""
    parser = argparse.ArgumentParser(
        prog="python -m stack",
        description="Scrip on one machine.",
        epilog="Every option is also an environment variable: --edge-port is SCRIP_STACK_EDGE_PORT.",
    )
    commands = {
        "up": "run everything until Ctrl-C",
        "status": "tell what runs",
        "reset": "forget all data",
        "check-books": "prove that all books of points agree; status 1 when not",
        "rotate-keys": "make the next key that signs tokens",
        "validate-edge": "let Envoy check its configuration",
    }
    parser.add_argument(
        "command", choices=commands, help="; ".join(f"{name}: {text}" for name, text in commands.items())
    )
    parser.add_argument("--host", help="address of the public listener (default 127.0.0.1)")
    parser.add_argument("--edge-port", help="port of REST and public gRPC (default 8080)")
    parser.add_argument("--ops-port", help="port of metrics and readiness (default 8081)")
    parser.add_argument("--base-port", help="first of the fifty ports used inside (default 7100)")
    parser.add_argument("--data", help="folder of all state (default .data)")
    parser.add_argument("--processes", help="server processes of each service (default 1)")
    parser.add_argument("--log-level", help="debug, info, warning or error (default info)")
    parser.add_argument(
        "--quiet", action="store_true", default=None, help="leave the logs to the data folder"
    )
    parser.add_argument(
        "--no-sample", dest="sample", action="store_false", default=None, help="load no sample data"
    )
    options = vars(parser.parse_args(arguments))
    return options.pop("command"), read_settings(**options)


def reset(settings: Settings) -> str:
    """Forget all data. Raises StackError while a stack runs on them."""
    folder = DataFolder(settings.data_folder)
    if not folder.path.exists():
        return f"there was nothing in {folder.path}"
    folder.lock()
    folder.make()
    folder.stop_left_behind()
    postgres = Postgres(folder.postgres)
    if postgres.data.exists():
        postgres.prepare()
        postgres.clean_up()
    folder.delete()
    return f"all data in {folder.path} are forgotten"


def main() -> int:
    """Run one command; its exit status."""
    try:
        command, settings = parse(sys.argv[1:])
        if command == "up":
            up(settings)
        elif command == "status":
            print(report(DataFolder(settings.data_folder)))
        elif command == "reset":
            print(reset(settings))
        elif command in COMMANDS:
            return operate(settings, command)
        else:
            print(envoy.validate(settings))
    except StackError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
