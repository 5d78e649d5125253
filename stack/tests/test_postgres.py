"""PostgreSQL of the stack: keeps its data when it is killed, in any folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.child import is_running
from stack.errors import StackError
from stack.ports import free_port
from stack.postgres import Postgres
from stack.settings import ROOT

PARENT = """
import sys, time
from pathlib import Path
from stack.postgres import Postgres
server = Postgres(Path(sys.argv[1]))
server.start()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("pg"), fsync=False, port=free_port())
    server.start()
    yield server
    server.stop()


def write(server: Postgres, database: str = "points") -> None:
    server.create_database(database)
    with psycopg.connect(server.url(database)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")


def rows(server: Postgres, database: str = "points") -> int:
    with psycopg.connect(server.url(database)) as connection:
        found = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert found
    return int(found[0])


def pid(server: Postgres) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


def until_gone(number: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while is_running(number):
        assert time.monotonic() < deadline, "the server still runs"
        time.sleep(0.01)


def test_programs_connect_as_a_role_that_is_no_superuser(server: Postgres) -> None:
    server.create_databases(["first", "second"])
    server.create_databases(["second", "third"])
    with psycopg.connect(server.url("third")) as connection:
        found = connection.execute(
            "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert found == ("scrip", False)


def test_tcp_asks_for_the_password(server: Postgres) -> None:
    server.create_database("first")
    with psycopg.connect(server.url("first", tcp=True)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://scrip@127.0.0.1:{server.port}/first")


def test_socket_is_closed_to_other_users(server: Postgres) -> None:
    assert server.socket_folder.stat().st_mode & 0o077 == 0


def test_database_from_a_template(server: Postgres) -> None:
    write(server, "original")
    server.create_database("copied", template="original")
    assert rows(server, "copied") == 1


def test_name_that_is_no_identifier_is_refused(server: Postgres) -> None:
    with pytest.raises(ValueError, match="not a plain database name"):
        server.create_database("x'; DROP DATABASE points; --")


def test_fsync_is_on_unless_switched_off(tmp_path: Path) -> None:
    assert "--fsync=off" not in Postgres(tmp_path).command()
    assert "--fsync=off" in Postgres(tmp_path, fsync=False).command()


def test_state_survives_a_restart_in_a_deep_private_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    deep = closed / ("d" * 110)
    server = Postgres(deep)
    assert len(os.fsencode(server.socket_folder)) < 60
    server.start()
    write(server)
    server.stop()
    assert not server.socket_folder.exists()
    again = Postgres(deep)
    again.start()
    assert rows(again) == 1
    again.stop()
    assert closed.stat().st_mode & 0o777 == 0o700


def test_folder_that_somebody_else_put_in_place_is_refused(tmp_path: Path) -> None:
    server = Postgres(tmp_path / ("d" * 110))
    target = tmp_path / "target"
    target.mkdir()
    server.socket_folder.symlink_to(target)
    try:
        with pytest.raises(StackError, match="belongs to somebody else"):
            server.start()
    finally:
        server.socket_folder.unlink()


def test_server_of_a_killed_parent_shuts_down_and_its_data_are_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        server = Postgres(tmp_path)
        write(server)
        number = pid(server)
        parent.kill()
    until_gone(number)
    assert "database system is shut down" in (tmp_path / "server.log").read_text()
    server.start()
    assert rows(server) == 1
    server.stop()


def test_killed_server_recovers(tmp_path: Path) -> None:
    server = Postgres(tmp_path)
    server.start()
    write(server)
    os.kill(pid(server), signal.SIGKILL)
    server.stop()
    again = Postgres(tmp_path)
    again.start()
    assert rows(again) == 1
    again.stop()


def test_stale_pid_file_with_the_number_of_a_stranger_is_no_obstacle(tmp_path: Path) -> None:
    server = Postgres(tmp_path, fsync=False)
    server.start()
    write(server)
    text = (server.data / "postmaster.pid").read_text()
    server.stop()
    stranger = str(os.getpid())
    (server.data / "postmaster.pid").write_text("\n".join([stranger, *text.splitlines()[1:]]) + "\n")
    server.start()
    assert rows(server) == 1
    server.stop()
    assert is_running(int(stranger))


def test_interrupted_first_start_is_begun_anew(tmp_path: Path) -> None:
    unfinished = tmp_path / "data.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    server = Postgres(tmp_path, fsync=False)
    server.start()
    write(server)
    server.stop()


def test_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = Postgres(tmp_path, fsync=False)
    server.start()
    server.stop()
    (server.data / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(StackError, match=r"PostgreSQL did not start: .*errors"):
        server.start()


def test_data_of_another_version_are_refused_with_both_versions(tmp_path: Path) -> None:
    server = Postgres(tmp_path, fsync=False)
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(
        StackError, match=r"PostgreSQL did not start: .*version 9, the server of version \d+$"
    ):
        server.start()
