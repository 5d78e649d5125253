"""The stack's settings: environment variables SCRIP_STACK_*, or options of `python -m stack`."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from stack.errors import StackError

PREFIX = "SCRIP_STACK_"
ROOT = Path(__file__).resolve().parent.parent
MOST_PROCESSES = 10
MOST_INNER_LISTENERS = 7


class Settings(BaseSettings):
    """Everything about one stack that can be chosen. Ports inside are derived from `base_port`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    host: str = "127.0.0.1"
    """Address of the public listener. Everything else stays on loopback."""
    edge_port: int = Field(default=8080, ge=1, le=65535)
    """Port of REST and public gRPC."""
    ops_port: int = Field(default=8081, ge=1, le=65535)
    """Port of metrics and readiness."""
    base_port: int = Field(default=7100, ge=1, le=65485)
    """First of the fifty ports used inside."""
    data: Path = Path(".data")
    """Folder of all state; a relative path is below the repository's root."""
    processes: int = Field(default=1, ge=1, le=MOST_PROCESSES)
    """Server processes of each service."""
    worker_identity: bool = True
    worker_points: bool = True
    worker_vouchers: bool = True
    worker_promos: bool = True
    sandbox: bool = True
    """One-time passwords can be read through the API instead of being sent."""
    reflection: bool = True
    """gRPC reflection, for grpcurl and the like."""
    sample: bool = True
    """Load sample data into an empty stack."""
    env_identity: dict[str, str] = {}
    env_points: dict[str, str] = {}
    env_vouchers: dict[str, str] = {}
    env_promos: dict[str, str] = {}
    """Extra environment of one service's processes, as a JSON object; it wins over what the stack sets."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    quiet: bool = False
    """Print only the stack's own words; the logs are in the data folder all the same."""
    envoy_concurrency: int = Field(default=1, ge=1, le=64)
    """Envoy's worker threads."""
    cors_origins: str = "http://localhost:*,http://127.0.0.1:*"
    """Origins whose pages may call, with commas between them; a port may be `*`. Empty: none."""
    edge_config: Path = Path("edge/envoy.yaml")
    """The Envoy configuration to start from."""

    @property
    def data_folder(self) -> Path:
        """The absolute path of the folder of all state."""
        return (ROOT / self.data.expanduser()).resolve()

    @property
    def redis_port(self) -> int:
        """Redis, on loopback."""
        return self.base_port

    @property
    def postgres_port(self) -> int:
        """PostgreSQL on loopback, with a password; the services use its unix socket."""
        return self.base_port + 1

    @property
    def envoy_admin_port(self) -> int:
        """Envoy's admin interface, on loopback."""
        return self.base_port + 2

    def inner_listener_port(self, index: int) -> int:
        """Port of Envoy's `index`-th listener that serves only Envoy. Raises StackError beyond the last."""
        if index >= MOST_INNER_LISTENERS:
            raise StackError(f"the Envoy configuration has more than {MOST_INNER_LISTENERS} inner listeners")
        return self.base_port + 3 + index

    def service_ports(self, index: int) -> list[int]:
        """Ports of the processes of the `index`-th service."""
        first = self.base_port + 10 * (index + 1)
        return list(range(first, first + self.processes))

    def worker(self, service: str) -> bool:
        """Returns whether this service's job worker runs."""
        return bool(getattr(self, f"worker_{service}"))

    def extra_environment(self, service: str) -> dict[str, str]:
        """Returns what is set for this service's processes beside what the stack itself sets."""
        extra: dict[str, str] = getattr(self, f"env_{service}")
        return extra


def read_settings(**options: object) -> Settings:
    """Settings from the environment; options that are not None win.

    Raises StackError naming what is wrong.
    """
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise StackError(f"{name} is not a setting; there are {', '.join(sorted(known))}")
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{PREFIX}{first['loc'][0]}".upper()
        raise StackError(f"{name}: {first['msg']}, got {first['input']!r}") from error
    except SettingsError as error:
        raise StackError(f"{error}: a JSON object is expected") from error
