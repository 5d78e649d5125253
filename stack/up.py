"""`up`: everything in order, until somebody wants it to end; then everything in the opposite order."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from stack import envoy, http, ports, services, text
from stack.child import require_linux
from stack.endpoints import Endpoints
from stack.errors import StackError
from stack.logs import Console
from stack.postgres import Postgres
from stack.process import Program, StopSteps
from stack.redis import Redis
from stack.secrets import Secrets, load_or_create
from stack.services import SERVICES, Wiring
from stack.settings import PREFIX, ROOT, Settings
from stack.state import DataFolder
from stack.supervisor import Supervisor

STORE_SECONDS = 60.0
MIGRATION_SECONDS = 300.0
HEALTHY_SECONDS = 90.0
SAMPLE_SECONDS = 180.0
DRAIN_SECONDS = 0.5
STOP_SECONDS = 9.2
PLAIN_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
POSTGRES_STOP: StopSteps = ((signal.SIGINT, 1.0), (signal.SIGQUIT, 0.3), (signal.SIGKILL, 0.2))
REDIS_STOP: StopSteps = ((signal.SIGTERM, 0.8), (signal.SIGKILL, 0.2))
HELPER_STOP: StopSteps = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 0.2))


def required_ports(settings: Settings) -> list[tuple[str, int, str, str]]:
    """Returns every port that this stack will listen on: (host, port, what for, setting)."""
    loopback, base = "127.0.0.1", f"{PREFIX}BASE_PORT"
    wanted = [
        (settings.host, settings.edge_port, "the edge", f"{PREFIX}EDGE_PORT"),
        (loopback, settings.ops_port, "metrics", f"{PREFIX}OPS_PORT"),
        (loopback, settings.redis_port, "Redis", base),
        (loopback, settings.postgres_port, "PostgreSQL", base),
        (loopback, settings.envoy_admin_port, "Envoy's admin interface", base),
    ]
    wanted += [(loopback, port, "an inner listener of Envoy", base) for port in envoy.inner_ports(settings)]
    for service, found in services.ports(settings).items():
        wanted += [(loopback, port, service, base) for port in found]
    return wanted


class Stack:
    """One running stack."""

    def __init__(self, settings: Settings, folder: DataFolder, secrets: Secrets) -> None:
        self.settings = settings
        self.folder = folder
        self.secrets = secrets
        self.postgres = Postgres(folder.postgres, port=settings.postgres_port)
        self.redis = Redis(folder.redis, settings.redis_port)
        self.databases = {service: self.postgres.url(service) for service in SERVICES}
        names = ["stack", "postgres", "redis", "envoy", *services.worker_names(settings).values()]
        names += [name for found in services.process_names(settings).values() for name in found]
        self.console = Console(max(map(len, names)), quiet=settings.quiet)
        self.supervisor = Supervisor(folder, self.console)

    async def start(self) -> None:
        """Start everything and return when the edge is ready."""
        began = time.monotonic()
        await self._start_stores()
        await self._migrate()
        await self._start_servers()
        await self._start_envoy()
        await self._start_workers()  # calls are served already
        self.endpoints().write(self.folder.endpoints)
        self.supervisor.say(f"ready after {time.monotonic() - began:.1f} s")
        await self._load_sample()
        self.console.plain(
            text.welcome(self.endpoints(), self.folder.path, password_given=self.secrets.password_given)
        )

    async def stop(self) -> None:
        """Stop everything: the edge's doors first, then all that is behind it at once, the stores last."""
        deadline = time.monotonic() + STOP_SECONDS
        self.supervisor.say("stopping")
        self.folder.endpoints.unlink(missing_ok=True)
        if "envoy" in self.supervisor.names():
            await self._drain_edge()
        # The edge after the services: it takes to callers what they say at last, so that a stream ends with
        # a status, and is not cut.
        last = {"envoy", "postgres", "redis"}
        await self.supervisor.stop([name for name in self.supervisor.names() if name not in last])
        await self.supervisor.stop(["envoy"])
        # PostgreSQL writes down what is in memory: all the time that is left makes its next start quick.
        await self.supervisor.stop(self.supervisor.names(), patience=deadline - time.monotonic())
        self.postgres.clean_up()
        self.supervisor.say("stopped")
        self.supervisor.close()

    def endpoints(self) -> Endpoints:
        """Returns where everything is."""
        settings = self.settings
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  (compared only)
        return Endpoints(
            supervisor_pid=os.getpid(),
            edge_url=f"http://{host}:{settings.edge_port}",
            ops_url=f"http://127.0.0.1:{settings.ops_port}",
            envoy_admin_url=f"http://127.0.0.1:{settings.envoy_admin_port}",
            grpc=services.targets(settings),
            databases=self.databases,
            databases_tcp={service: self.postgres.url(service, tcp=True) for service in SERVICES},
            redis_url=self.redis.url,
            processes=services.process_names(settings),
            workers=services.worker_names(settings),
            admin_user_name=os.environ.get("SCRIP_ADMIN_USER_NAME", "admin"),
            admin_password=self.secrets.admin_password,
        )

    async def _start_stores(self) -> None:
        redis, postgres = self.redis, self.postgres
        postgres.require_version()
        redis.prepare()
        cache = self.supervisor.start(
            Program(
                "redis", redis.command(), PLAIN_ENVIRONMENT, ROOT, REDIS_STOP, before_exec=redis.before_exec
            )
        )
        if not postgres.data.exists():
            self.supervisor.say("making the databases' folder")
        store = self.supervisor.start(
            Program(
                "postgres",
                postgres.command(),
                postgres.environment(),
                Path("/"),
                POSTGRES_STOP,
                prepare=postgres.prepare,
                before_exec=postgres.before_exec,
            )
        )
        await self.supervisor.until_ready(store, _as_async(postgres.is_ready), STORE_SECONDS)
        await self.supervisor.until_ready(cache, _as_async(redis.is_ready), STORE_SECONDS)
        postgres.create_databases(SERVICES)

    async def _migrate(self) -> None:
        arguments = [f"{service}={url}" for service, url in self.databases.items()]
        await self._helper("migrate", "stack.migrate", arguments, MIGRATION_SECONDS)

    def _wiring(self) -> Wiring:
        return Wiring(self.databases, self.redis.url, services.targets(self.settings))

    async def _start_workers(self) -> None:
        programs = services.workers(self.settings, self.secrets, self._wiring())
        for process in [self.supervisor.start(program) for program in programs]:
            await self.supervisor.until_ready(process, _as_async(lambda _: True), STORE_SECONDS)

    async def _start_servers(self) -> None:
        programs = services.servers(self.settings, self.secrets, self._wiring())
        started = [self.supervisor.start(program) for program in programs]
        arguments = [str(HEALTHY_SECONDS), *self._addresses()]
        waiting = asyncio.create_task(self._helper("health", "stack.health", arguments, HEALTHY_SECONDS + 10))
        try:
            while not waiting.done():
                self.supervisor.check([process.name for process in started])
                await asyncio.wait([waiting], timeout=0.1)
            await waiting
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])

    def _addresses(self) -> list[str]:
        names, found = services.process_names(self.settings), services.ports(self.settings)
        return [
            f"{name}=127.0.0.1:{port}"
            for service in SERVICES
            for name, port in zip(names[service], found[service], strict=True)
        ]

    async def _start_envoy(self) -> None:
        config = self.folder.run / "envoy.yaml"
        envoy.write_config(self.settings, config)
        process = self.supervisor.start(envoy.program(self.settings, config, PLAIN_ENVIRONMENT))

        async def is_ready(_: int) -> bool:
            try:
                status, _body = await http.request(self.settings.ops_port, "/ready")
            except OSError:
                return False
            return status == 200

        await self.supervisor.until_ready(process, is_ready, HEALTHY_SECONDS)

    async def _drain_edge(self) -> None:
        """Take no new connections, and give requests in flight a moment to end."""
        port = self.settings.envoy_admin_port
        deadline = time.monotonic() + DRAIN_SECONDS
        try:
            await http.request(port, "/drain_listeners", method="POST", seconds=DRAIN_SECONDS)
            while time.monotonic() < deadline:
                _, stats = await http.request(
                    port, "/stats?filter=downstream_rq_active", seconds=DRAIN_SECONDS
                )
                lines = [line for line in stats.splitlines() if "downstream_rq_active: " in line]
                if all(line.endswith(": 0") for line in lines if not line.startswith("http.admin.")):
                    return
                await asyncio.sleep(0.05)
        except OSError as error:
            self.supervisor.say(f"the edge could not be drained: {error!r}")

    async def _load_sample(self) -> None:
        if not self.settings.sample or self.folder.sample.exists():
            return
        self.supervisor.say("loading sample data")
        try:
            arguments = [str(self.folder.endpoints), str(self.folder.sample)]
            await self._helper("sample", "stack.seed", arguments, SAMPLE_SECONDS)
        except StackError as error:
            # The platform itself is well: print it, and try again at the next start.
            self.supervisor.say(f"no sample data: {error}")

    async def _helper(self, name: str, module: str, arguments: list[str], seconds: float) -> None:
        command = [sys.executable, "-m", module, *arguments]
        program = Program(name, command, services.base_environment(), ROOT, HELPER_STOP, restart=False)
        await self.supervisor.run(program, seconds)


def up(settings: Settings) -> None:
    """Run a stack until SIGINT, SIGTERM or SIGHUP. Raises StackError when it cannot be started."""
    require_linux()
    folder = DataFolder(settings.data_folder)
    folder.lock()
    try:
        folder.make()
        left = folder.stop_left_behind()
        ports.require_free(required_ports(settings))
        secrets = load_or_create(folder.secrets)
        asyncio.run(_run(settings, folder, secrets, left))
    finally:
        folder.unlock()


async def _run(settings: Settings, folder: DataFolder, secrets: Secrets, left: list[str]) -> None:
    stack = Stack(settings, folder, secrets)
    if left:
        stack.supervisor.say(f"stopped what an earlier stack left behind: {', '.join(left)}")
    wanted = asyncio.Event()

    def end() -> None:
        if wanted.is_set():
            stack.supervisor.hurry()
        wanted.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end)
    starting, ending = asyncio.create_task(stack.start()), asyncio.create_task(wanted.wait())
    try:
        await asyncio.wait([starting, ending], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await ending
    finally:
        starting.cancel()
        ending.cancel()
        await asyncio.wait([starting, ending])
        await stack.stop()


def _as_async(is_ready: Callable[[int], bool]) -> Callable[[int], Awaitable[bool]]:
    async def ask(pid: int) -> bool:
        return is_ready(pid)

    return ask
