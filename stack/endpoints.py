"""Where everything of a running stack is: written when it is ready, for tools and tests."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from stack.files import write_private


@dataclass(frozen=True)
class Endpoints:
    """Addresses and the admin's login of one running stack."""

    supervisor_pid: int
    edge_url: str
    ops_url: str
    envoy_admin_url: str
    grpc: dict[str, str]
    """gRPC target of each service, past the edge."""
    databases: dict[str, str]
    """libpq URL of each service's database, over the unix socket."""
    databases_tcp: dict[str, str]
    """The same over TCP, with a password."""
    redis_url: str
    processes: dict[str, list[str]]
    """Names of each service's server processes; `run/<name>.pid` has the id of the present one."""
    workers: dict[str, str]
    """Name of the worker process of each service that has one."""
    admin_user_name: str
    admin_password: str

    def write(self, path: Path) -> None:
        """Write the file; only its owner may read it."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n", durable=False)

    @classmethod
    def read(cls, path: Path) -> "Endpoints":
        """Read the file. Raises FileNotFoundError while the stack is not ready."""
        return cls(**json.loads(path.read_text()))
