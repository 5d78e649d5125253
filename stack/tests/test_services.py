"""What the services are given: each what it needs, and no secret of another."""

import pytest

from stack.secrets import Secrets
from stack.services import SERVICES, Wiring, base_environment, servers, workers
from stack.settings import read_settings

OF_IDENTITY = {
    "SCRIP_ADMIN_PASSWORD": "somebody-elses",
    "SCRIP_MASTER_KEY": "somebody-elses",
    "SCRIP_OTP_SENDER": "webhook",
    "SCRIP_OTP_WEBHOOK_SECRET": "of-the-provider",
    "SCRIP_OTP_WEBHOOK_AUTHORIZATION": "of-the-provider",
    "SCRIP_OTP_SMTP_PASSWORD": "of-the-mail-server",
}
SECRETS = Secrets(
    "master", "webhooks", "admin's", False, {name: f"{name}'s" for name in SERVICES if name != "identity"}
)
WIRING = Wiring({name: f"postgresql:///{name}" for name in SERVICES}, "redis://x", {"points": "x"})


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """The environment of each process, by its name."""
    given = {
        **OF_IDENTITY,
        "SCRIP_WEBHOOK_KEY": "somebody-elses",
        "SCRIP_PAYMENT_PROVIDER_SECRET": "of-the-gateway",
        "SCRIP_TOKEN_POLICY": "bank",
        "SCRIP_CODE_OFFLINE_SECONDS": "60",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    programs = servers(settings, SECRETS, WIRING) + workers(settings, SECRETS, WIRING)
    return {each.name: dict(each.environment) for each in programs}


def test_settings_that_are_given_reach_every_process(environments: dict[str, dict[str, str]]) -> None:
    assert len(environments) == 8
    for environment in environments.values():
        assert environment["SCRIP_TOKEN_POLICY"] == "bank"
        assert environment["SCRIP_CODE_OFFLINE_SECONDS"] == "60"


def test_what_is_identitys_reaches_identity_and_its_worker_only(
    environments: dict[str, dict[str, str]],
) -> None:
    for name, environment in environments.items():
        found = {key: environment[key] for key in OF_IDENTITY if key in environment}
        if name.startswith("identity"):
            own = {"SCRIP_ADMIN_PASSWORD": "admin's", "SCRIP_MASTER_KEY": "master"}
            assert found == OF_IDENTITY | own
        else:
            assert found == {}, name
    assert not OF_IDENTITY.keys() & base_environment().keys()


def test_the_key_of_webhooks_reaches_promos_and_its_worker_only(
    environments: dict[str, dict[str, str]],
) -> None:
    name = "SCRIP_WEBHOOK_KEY"
    knowing = {process: each[name] for process, each in environments.items() if name in each}
    assert knowing == {"promos": "webhooks", "promos-worker": "webhooks"}


def test_the_secret_of_the_payment_gateway_reaches_vouchers_and_its_worker_only(
    environments: dict[str, dict[str, str]],
) -> None:
    knowing = {name for name, each in environments.items() if "SCRIP_PAYMENT_PROVIDER_SECRET" in each}
    assert knowing == {"vouchers", "vouchers-worker"}


def test_a_service_knows_its_own_secret_and_identity_the_hashes(
    environments: dict[str, dict[str, str]],
) -> None:
    for name, environment in environments.items():
        service = name.removesuffix("-worker")
        if service == "identity":
            assert "SCRIP_SERVICE_SECRET" not in environment
            assert "'s" not in environment["SCRIP_SERVICE_SECRET_HASHES"]
        else:
            assert environment["SCRIP_SERVICE_SECRET"] == f"{service}'s"
            assert "SCRIP_SERVICE_SECRET_HASHES" not in environment
