"""docker-compose.yml against the settings that it is given and the files that it names."""

import base64
import hashlib
import importlib
import inspect
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.common.settings import ServiceSettings
from tools import compose_env

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
SERVICES = ("identity", "points", "vouchers", "promos")
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<operator>:[?-])?[^}]*\}")


def assignments(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def filled() -> dict[str, str]:
    return assignments(compose_env.fill(EXAMPLE))


@pytest.fixture
def services(filled: dict[str, str]) -> dict[str, Any]:
    """The services as compose sees them, with all variables put in."""
    text = VARIABLE.sub(lambda match: filled[match["name"]], COMPOSE)
    loaded: dict[str, Any] = yaml.safe_load(text)["services"]
    return loaded


def test_every_variable_is_in_the_example_and_none_is_idle() -> None:
    used = {match["name"] for match in VARIABLE.finditer(COMPOSE)}
    assert used == set(assignments(EXAMPLE))


def test_a_variable_without_a_default_stops_compose_with_a_message() -> None:
    example = assignments(EXAMPLE)
    for match in VARIABLE.finditer(COMPOSE):
        wanted = ":-" if example[match["name"]] else ":?"
        assert match["operator"] == wanted, match[0]


def test_an_optional_variable_has_the_default_of_the_example() -> None:
    example = assignments(EXAMPLE)
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE):
        assert default == example[name]


def test_filled_secrets_are_whole_fresh_and_fit_each_other(filled: dict[str, str]) -> None:
    assert all(filled.values())
    assert len(base64.b64decode(filled["SCRIP_MASTER_KEY"], validate=True)) == 32
    for service in ("POINTS", "VOUCHERS", "PROMOS"):
        secret = filled[f"{service}_SECRET"]
        assert filled[f"{service}_SECRET_SHA256"] == hashlib.sha256(secret.encode()).hexdigest()
    again = assignments(compose_env.fill(EXAMPLE))
    assert {name for name in filled if filled[name] == again[name]} == {
        name for name, value in assignments(EXAMPLE).items() if value
    }


def test_make_env_keeps_an_existing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_env, "ROOT", tmp_path)
    (tmp_path / ".env.example").write_text(EXAMPLE)
    assert compose_env.main() == 0
    first = (tmp_path / ".env").read_text()
    assert compose_env.main() == 1
    assert (tmp_path / ".env").read_text() == first
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_identity_knows_the_hash_of_each_services_secret(services: dict[str, Any]) -> None:
    hashes = json.loads(services["identity"]["environment"]["SCRIP_SERVICE_SECRET_HASHES"])
    assert set(hashes) == {"points", "vouchers", "promos"}
    for service, digest in hashes.items():
        secret = services[service]["environment"]["SCRIP_SERVICE_SECRET"]
        assert digest == hashlib.sha256(secret.encode()).hexdigest()


def test_each_service_opens_its_own_database_and_targets_running_services(services: dict[str, Any]) -> None:
    for service in SERVICES:
        environment = services[service]["environment"]
        assert environment["SCRIP_DATABASE_URL"].startswith(f"postgresql://{service}:")
        assert environment["SCRIP_DATABASE_URL"].endswith(f"@postgres:5432/{service}")
        assert services[f"{service}-migrate"]["environment"] == environment
        port = environment["SCRIP_LISTEN"].rpartition(":")[2]
        assert environment[f"SCRIP_{service.upper()}_TARGET"] == f"dns:///{service}:{port}"


def settings_class(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"services.{service}.settings")
    classes = [it for _, it in inspect.getmembers(module, inspect.isclass) if it is not ServiceSettings]
    (own,) = (it for it in classes if issubclass(it, ServiceSettings))
    return own


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_takes_every_setting_it_is_given(
    service: str, services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = services[service]["environment"]
    settings = settings_class(service)
    known = {f"SCRIP_{name.upper()}" for name in settings.model_fields}
    assert set(environment) <= known
    for name in [name for name in os.environ if name.startswith("SCRIP_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    settings.model_validate({})


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert sources
    for source in sources:
        assert (ROOT / source).is_file(), source
