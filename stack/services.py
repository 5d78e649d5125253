"""The four services as programs: their processes, their job workers, their environment."""

import json
import os
import signal
import sys
from dataclasses import dataclass

from stack.process import Program, StopSteps
from stack.secrets import Secrets
from stack.settings import PREFIX, ROOT, Settings

SERVICES = ("identity", "points", "vouchers", "promos")
WORKERS = ("identity", "points", "vouchers", "promos")
# A service promises to drain within 8 s; the whole stack stops within 10.
STOP_STEPS: StopSteps = ((signal.SIGTERM, 7.4), (signal.SIGKILL, 0.3))
# Only identity gets variables with these prefixes, wherever they were set.
IDENTITY_ONLY = ("SCRIP_ADMIN_PASSWORD", "SCRIP_MASTER_KEY", "SCRIP_SERVICE_SECRET_HASHES", "SCRIP_OTP_")
PROMOS_ONLY = ("SCRIP_WEBHOOK_KEY",)
VOUCHERS_ONLY = ("SCRIP_PAYMENT_",)


@dataclass(frozen=True)
class Wiring:
    """Where the services find each other and their stores."""

    databases: dict[str, str]
    redis_url: str
    targets: dict[str, str]


def ports(settings: Settings) -> dict[str, list[int]]:
    """Returns the ports of each service's processes."""
    return {service: settings.service_ports(index) for index, service in enumerate(SERVICES)}


def targets(settings: Settings) -> dict[str, str]:
    """Returns the gRPC target of each service: all of its processes."""
    return {
        service: "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in found)
        for service, found in ports(settings).items()
    }


def process_names(settings: Settings) -> dict[str, list[str]]:
    """Returns the names of each service's processes: `points`, or `points-1`, `points-2` for several."""
    if settings.processes == 1:
        return {service: [service] for service in SERVICES}
    return {
        service: [f"{service}-{number + 1}" for number in range(settings.processes)] for service in SERVICES
    }


def worker_names(settings: Settings) -> dict[str, str]:
    """Returns the name of the worker of each service whose worker is switched on."""
    return {service: f"{service}-worker" for service in WORKERS if settings.worker(service)}


def base_environment() -> dict[str, str]:
    """Returns what all Python children get: all but the stack's settings and secrets of one service."""
    left_out = (PREFIX, *IDENTITY_ONLY, *PROMOS_ONLY, *VOUCHERS_ONLY)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    # Fewer malloc arenas: a third less memory in processes with several threads.
    return kept | {"PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"}


def servers(settings: Settings, secrets: Secrets, wiring: Wiring) -> list[Program]:
    """Returns every service's server processes."""
    shared = {service: environment(settings, secrets, wiring, service) for service in SERVICES}
    return [
        _program(service, name, shared[service] | {"SCRIP_LISTEN": f"127.0.0.1:{port}"}, settings)
        for service, names in process_names(settings).items()
        for name, port in zip(names, ports(settings)[service], strict=True)
    ]


def workers(settings: Settings, secrets: Secrets, wiring: Wiring) -> list[Program]:
    """Returns the job workers that are switched on."""
    return [
        _program(service, name, environment(settings, secrets, wiring, service), settings, "worker")
        for service, name in worker_names(settings).items()
    ]


def environment(settings: Settings, secrets: Secrets, wiring: Wiring, service: str) -> dict[str, str]:
    """Returns the environment of a service's processes."""
    made = base_environment() | {
        "SCRIP_DATABASE_URL": wiring.databases[service],
        "SCRIP_REDIS_URL": wiring.redis_url,
        "SCRIP_REFLECTION": str(settings.reflection).lower(),
        "SCRIP_LOG_LEVEL": settings.log_level.upper(),
    }
    made |= {f"SCRIP_{other.upper()}_TARGET": target for other, target in wiring.targets.items()}
    if service == "promos":
        made["SCRIP_WEBHOOK_KEY"] = secrets.webhook_key
        made.setdefault("SCRIP_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")  # whoever tries it out receives here
    if service == "vouchers":
        made["SCRIP_SANDBOX"] = str(settings.sandbox).lower()
        made |= {key: value for key, value in os.environ.items() if key.startswith(VOUCHERS_ONLY)}
    if service != "identity":
        return made | {"SCRIP_SERVICE_SECRET": secrets.service_secrets[service]}
    # The sample's admin is everybody's here: the demo must not log out who looks around meanwhile.
    made.setdefault("SCRIP_STAFF_SESSIONS", "10")
    made.setdefault("SCRIP_COOKIE_SECURE", "false")  # there is no TLS here
    made |= {key: value for key, value in os.environ.items() if key.startswith(IDENTITY_ONLY)}
    return made | {
        "SCRIP_MASTER_KEY": secrets.master_key,
        "SCRIP_SERVICE_SECRET_HASHES": json.dumps(secrets.service_secret_hashes),
        "SCRIP_ADMIN_PASSWORD": secrets.admin_password,
        "SCRIP_SANDBOX": str(settings.sandbox).lower(),
    }


def _program(
    service: str, name: str, environment: dict[str, str], settings: Settings, *arguments: str
) -> Program:
    command = [sys.executable, "-m", f"services.{service}", *arguments]
    return Program(name, command, environment | settings.extra_environment(service), ROOT, STOP_STEPS)
