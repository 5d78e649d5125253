"""One platform for all tests of this folder, over each of the dumps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from stack.testing import RunningStack
from tests import invariants
from tests.platform import eventually
from tests.upgrades import dumps
from tests.upgrades.dumps import Dump
from tests.upgrades.posted import BrandReceiver, SmsProvider
from tests.upgrades.retailer import Retailer, start_retailer
from tests.upgrades.upgraded import REST_SECONDS, Upgraded, points

SECONDS = 240


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test is for every dump that has what it needs. The newest comes first, which has everything."""
    if "dump" in metafunc.fixturenames:
        wanted = {"promos", "vouchers"}.intersection(metafunc.fixturenames)
        found = [one for one in dumps.all_dumps() if wanted <= one.content.keys()]
        metafunc.parametrize("dump", found, ids=lambda one: one.name, indirect=True, scope="package")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of a dump waits for its upgrade."""
    for item in items:
        if item.path.parent == dumps.FOLDER:
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(scope="package")
def dump(request: pytest.FixtureRequest) -> Dump:
    """Each of the dumps."""
    found: Dump = request.param
    return found


@pytest.fixture(scope="package")
def sms() -> Iterator[SmsProvider]:
    """Who sends one-time passwords."""
    with SmsProvider() as provider:
        yield provider


@pytest.fixture(scope="package")
def receiver(dump: Dump) -> Iterator[BrandReceiver]:
    """Where the brand's webhook is sent to."""
    with BrandReceiver() as one:
        yield one


@pytest.fixture(scope="package")
def running(
    dump: Dump, sms: SmsProvider, receiver: BrandReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """A stack over the dump's data, which it has upgraded."""
    folder = tmp_path_factory.mktemp(dump.name)
    then = dump.content.get("promos", {}).get("receiver")
    dumps.restore(dump, folder / "data", {then: receiver.url} if then else {})
    stack = start_retailer(folder, sms)
    yield stack
    assert stack.stop() == 0


@pytest_asyncio.fixture(scope="package")
async def upgraded(
    dump: Dump, running: RunningStack, sms: SmsProvider, receiver: BrandReceiver
) -> AsyncIterator[Upgraded]:
    """The platform at rest: what was under way has come to its end."""
    async with Retailer(running, sms) as live:
        await live.at_rest(REST_SECONDS)
        await _confirm_payment(dump, live)
        await _orders_have_ended(dump, live)
        seen, tokens, reads = await points(dump, live), await _tokens(dump, live), await _reads(dump, live)
        yield Upgraded(dump, live, seen, tokens, reads, receiver)


@pytest.fixture
def promos(upgraded: Upgraded) -> dict[str, str]:
    """Ids, codes and secrets of promos, by what they are; a test with it is for dumps that have them."""
    found: dict[str, str] = upgraded.dump.content["promos"]
    return found


@pytest.fixture
def vouchers(upgraded: Upgraded) -> dict[str, str]:
    """Ids, codes and numbers of vouchers, by what they are; a test with it is for dumps that have them."""
    found: dict[str, str] = upgraded.dump.content["vouchers"]
    return found


async def _confirm_payment(dump: Dump, live: Retailer) -> None:
    """The buyer's bank has what it asked for, so that the order which awaits it goes on."""
    if known := dump.content.get("vouchers"):
        secret = known["redirect_url"].partition("#")[2]
        path = f"/v1/sandbox-payments/{known['waiting']}:confirm"
        await live.ok("POST", path, {"token": secret, "approve": True})


async def _orders_have_ended(dump: Dump, live: Retailer) -> None:
    wanted = {one["order"]["id"]: one["ends"] for one in dump.content["orders_under_way"]}

    async def ended() -> None:
        rows = invariants.rows(live.databases["vouchers"], "SELECT id, state FROM orders")
        states = {str(row["id"]): row["state"] for row in rows}
        assert {order: states[order] for order in wanted} == wanted

    await eventually(ended, REST_SECONDS)


async def _tokens(dump: Dump, live: Retailer) -> dict[str, str]:
    """New tokens: of old members by their old refresh tokens, of the old till by its old secret."""
    till = dump.content["tills"]["till"]
    got = await live.client_token(till["id"], till["secret"])
    tokens = {"admin": live.admin, "till": str(got.json()["access_token"])}
    for name, who in dump.content["people"].items():
        asked = {"refresh_token": who["refresh_token"], "device_id": who["device_id"]}
        answer = await live.call("POST", "/v1/sessions:refresh", asked)
        if answer.status_code == 200:
            tokens[name] = answer.json()["token"]["access_token"]
    return tokens


async def _reads(dump: Dump, live: Retailer) -> dict[str, Any]:
    paths = dump.content.get("reads", {})
    return {path: await live.ok("GET", path, token=live.admin) for path in paths}
