"""docker-compose.yml against the settings that it is given and the files that it names."""

import base64
import hashlib
import importlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr, ValidationError

from services.common.settings import ServiceSettings
from tools import compose_env

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
SERVICES = ("identity", "points", "vouchers", "promos")
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<operator>:[?-])?[^}]*\}")
OPTIONAL = re.compile(r"^#([A-Z]\w+)=(.+)$", re.MULTILINE)
OF_OTHERS = {"SCRIP_SERVICE_SECRET"}
"""Identity has no secret of its own: it knows the hashes of the others'."""
SECRETS_OF_IDENTITY = {
    "SCRIP_MASTER_KEY",
    "SCRIP_ADMIN_PASSWORD",
    "SCRIP_OTP_SMTP_PASSWORD",
    "SCRIP_OTP_WEBHOOK_SECRET",
    "SCRIP_OTP_WEBHOOK_AUTHORIZATION",
}


def assignments(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def optional() -> dict[str, str]:
    """Returns what the example shows and does not set."""
    return dict(OPTIONAL.findall(EXAMPLE))


def put_in(node: Any, values: Mapping[str, str]) -> Any:
    """Returns the compose file with its variables put in, after parsing as compose does it."""
    if isinstance(node, dict):
        return {key: put_in(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [put_in(value, values) for value in node]
    if isinstance(node, str):
        return VARIABLE.sub(lambda match: values.get(match["name"], ""), node)
    return node


@pytest.fixture
def filled() -> dict[str, str]:
    return assignments(compose_env.fill(EXAMPLE))


@pytest.fixture
def services(filled: dict[str, str]) -> dict[str, Any]:
    """The services as compose sees them, with all variables put in."""
    loaded: dict[str, Any] = put_in(yaml.safe_load(COMPOSE), filled)["services"]
    return loaded


def test_every_variable_is_in_the_example_and_none_is_idle() -> None:
    used = {match["name"] for match in VARIABLE.finditer(COMPOSE)}
    assert used == set(assignments(EXAMPLE)) | set(optional())
    assert not set(assignments(EXAMPLE)) & set(optional())


def test_a_variable_without_a_default_stops_compose_with_a_message() -> None:
    secrets = {name for name, value in assignments(EXAMPLE).items() if not value}
    for match in VARIABLE.finditer(COMPOSE):
        assert match["operator"] == (":?" if match["name"] in secrets else ":-"), match[0]


def test_an_optional_variable_has_the_default_of_the_example_or_is_left_to_the_service() -> None:
    example = assignments(EXAMPLE)
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE):
        assert default == example.get(name, "")


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


def test_the_key_of_webhooks_is_that_of_promos_alone(services: dict[str, Any]) -> None:
    knowing = {name for name, each in services.items() if "SCRIP_WEBHOOK_KEY" in _environment(each)}
    assert knowing == {"promos", "promos-worker", "promos-migrate"}
    assert len(base64.b64decode(services["promos"]["environment"]["SCRIP_WEBHOOK_KEY"], validate=True)) == 32


def test_the_secret_of_the_payment_gateway_is_that_of_vouchers_alone(services: dict[str, Any]) -> None:
    secret = "SCRIP_PAYMENT_PROVIDER_SECRET"
    knowing = {name for name, each in services.items() if secret in _environment(each)}
    assert knowing == {"vouchers", "vouchers-worker", "vouchers-migrate"}


def test_make_env_keeps_an_existing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose_env, "ROOT", tmp_path)
    (tmp_path / ".env.example").write_text(EXAMPLE)
    assert compose_env.main() == 0
    first = (tmp_path / ".env").read_text()
    assert compose_env.main() == 1
    assert (tmp_path / ".env").read_text() == first
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


@pytest.mark.covers("E7")
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
    own: type[ServiceSettings] = importlib.import_module(f"services.{service}.settings").Settings
    return own


@pytest.mark.covers("E7")
@pytest.mark.parametrize("service", SERVICES)
def test_each_service_takes_every_setting_it_is_given(
    service: str, services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = services[service]["environment"]
    settings = settings_class(service)
    known = {f"SCRIP_{name.upper()}" for name in settings.model_fields}
    assert known - set(environment) == (OF_OTHERS if service == "identity" else set())
    assert set(environment) <= known
    read = settings_from(settings, environment, monkeypatch)
    for name, value in environment.items():
        field = settings.model_fields[name.removeprefix("SCRIP_").lower()]
        assert value or getattr(read, name.removeprefix("SCRIP_").lower()) == field.default, name


def settings_from(
    settings: type[ServiceSettings], environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> ServiceSettings:
    """Returns what a service reads from this environment and no other."""
    for name in [name for name in os.environ if name.startswith("SCRIP_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    return settings.model_validate({})


@pytest.mark.covers("E7")
@pytest.mark.parametrize("service", SERVICES)
def test_what_the_example_shows_is_the_default_or_can_be_set(
    service: str, services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = services[service]["environment"]
    shown = {name: value for name, value in optional().items() if name in environment}
    assert shown
    settings = settings_class(service)
    default = settings_from(settings, environment, monkeypatch)
    # A secret is not shown, so that nobody keeps it.
    secrets = dict.fromkeys(
        shown.keys() & {"SCRIP_OTP_WEBHOOK_SECRET", "SCRIP_PAYMENT_PROVIDER_SECRET"}, "whsec_" + 4 * "c2Vj"
    )
    read = settings_from(settings, environment | shown | secrets, monkeypatch)
    for name, value in shown.items():
        field = name.removeprefix("SCRIP_").lower()
        if getattr(default, field) in (None, "", SecretStr("")):
            assert getattr(read, field) not in (None, "", SecretStr("")), name
        else:
            assert getattr(read, field) == getattr(default, field), f"{name}={value} is not its default"


@pytest.mark.parametrize(
    ("service", "secret"),
    [("identity", "SCRIP_OTP_WEBHOOK_SECRET"), ("vouchers", "SCRIP_PAYMENT_PROVIDER_SECRET")],
)
def test_a_secret_that_is_left_as_the_example_shows_it_is_refused(
    service: str, secret: str, services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = services[service]["environment"]
    with pytest.raises(ValidationError, match=secret):
        settings_from(settings_class(service), environment | optional(), monkeypatch)


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_explained_to_operators(service: str) -> None:
    explained = (ROOT / "docs" / "operating.md").read_text()
    for field in settings_class(service).model_fields:
        assert field.endswith("_target") or f"`SCRIP_{field.upper()}`" in explained, field


@pytest.mark.covers("E7")
def test_secrets_reach_only_the_service_that_needs_them(services: dict[str, Any]) -> None:
    knowing = {name for name, each in services.items() if SECRETS_OF_IDENTITY & set(_environment(each))}
    assert knowing == {"identity", "identity-worker", "identity-migrate"}
    for name in ("identity", "identity-worker"):
        assert set(services[name]["environment"]) >= SECRETS_OF_IDENTITY


def _environment(service: Mapping[str, Any]) -> Mapping[str, str]:
    environment: Mapping[str, str] = service.get("environment", {})
    return environment


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert sources
    for source in sources:
        assert (ROOT / source).is_file(), source
