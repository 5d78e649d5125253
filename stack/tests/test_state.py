"""The data folder: its lock, its secrets, what an earlier stack left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stack.__main__ import reset
from stack.child import is_running
from stack.errors import StackError
from stack.secrets import load_or_create
from stack.settings import Settings
from stack.state import DataFolder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    folder = DataFolder(tmp_path / "data")
    folder.lock()
    folder.make()
    yield folder
    folder.unlock()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def note_as_of_an_earlier_stack(folder: DataFolder, process: subprocess.Popen[bytes], **changes: str) -> None:
    folder.record("sleeper", process.pid, signal.SIGTERM)
    running = replace(folder.processes()["sleeper"], **changes)  # type: ignore[arg-type]  # text fields
    (folder.run / "processes.json").write_text(json.dumps({"sleeper": vars(running)}))


def test_second_stack_on_the_same_folder_is_refused(folder: DataFolder) -> None:
    with pytest.raises(StackError, match=f"in use by process {os.getpid()}.*SCRIP_STACK_DATA"):
        DataFolder(folder.path).lock()
    assert DataFolder(folder.path).owner() == os.getpid()


def test_folder_is_free_after_its_user_has_gone(folder: DataFolder) -> None:
    folder.unlock()
    assert DataFolder(folder.path).owner() is None
    DataFolder(folder.path).lock()


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="file/data cannot be used: Not a directory"):
        DataFolder(tmp_path / "file" / "data").lock()


def test_process_left_behind_is_stopped(folder: DataFolder, sleeper: subprocess.Popen[bytes]) -> None:
    note_as_of_an_earlier_stack(folder, sleeper)
    assert DataFolder(folder.path).stop_left_behind() == ["sleeper"]
    assert sleeper.wait(5) == -signal.SIGTERM
    assert not list(folder.run.glob("*.pid"))


def test_process_left_behind_that_ignores_the_request_is_killed(folder: DataFolder) -> None:
    text = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-S", "-c", text], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        note_as_of_an_earlier_stack(folder, process)
        DataFolder(folder.path).stop_left_behind()
        assert process.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("change", [{"started": "1"}, {"boot": "another"}])
def test_stranger_with_an_old_process_id_is_left_alone(
    folder: DataFolder, sleeper: subprocess.Popen[bytes], change: dict[str, str]
) -> None:
    note_as_of_an_earlier_stack(folder, sleeper, **change)
    assert DataFolder(folder.path).stop_left_behind() == []
    assert is_running(sleeper.pid)


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create(path) == first
    assert first.service_secrets.keys() == {"points", "vouchers", "promos"}
    assert len(set(first.service_secrets.values())) == 3
    assert len(first.service_secret_hashes["points"]) == 64
    assert not first.password_given


def test_given_admin_password_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIP_ADMIN_PASSWORD", "given-from-outside")
    path = tmp_path / "secrets.json"
    found = load_or_create(path)
    assert found.admin_password == "given-from-outside"
    assert found.password_given
    assert "given-from-outside" not in path.read_text()


def test_damaged_secrets_are_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text('{"master_key": ')
    with pytest.raises(StackError, match=r"secrets\.json is damaged"):
        load_or_create(path)
    assert path.read_text() == '{"master_key": '


def test_reset_is_refused_while_the_folder_is_in_use(folder: DataFolder) -> None:
    with pytest.raises(StackError, match="in use"):
        reset(Settings(data=folder.path))


def test_reset_forgets_all_of_ours_and_nothing_else(folder: DataFolder) -> None:
    load_or_create(folder.secrets)
    (folder.path / "holiday.jpg").touch()
    folder.unlock()
    reset(Settings(data=folder.path))
    assert [path.name for path in folder.path.iterdir()] == ["holiday.jpg"]
    (folder.path / "holiday.jpg").unlink()
    reset(Settings(data=folder.path))
    assert not folder.path.exists()
