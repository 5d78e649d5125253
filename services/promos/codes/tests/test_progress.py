"""How far a set is made, as staff read and watch it."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator
from uuid import UUID

import pytest
from scrip.promos.v1 import code_set_pb2

from services.common import server_sent_events
from services.common.caller import Caller, set_caller
from services.common.errors import DomainError
from services.common.ids import new_id
from services.promos.codes.commands import make_codes as making
from services.promos.codes.commands.make_codes import make_codes
from services.promos.codes.set_handlers import CodeSetHandlers
from services.promos.tests.code_set_help import (
    MAKING,
    READY,
    create_set,
    get_set,
    stub_of,
    watch,
)
from services.promos.tests.support import Promos
from tests.inprocess import bearer


@pytest.mark.covers("C1 CodeSetService.WatchCodeSet")
async def test_progress_is_streamed_until_all_codes_are_there(promos: Promos) -> None:
    made = await create_set(promos, quantity=0, import_only=True)
    await promos.execute("UPDATE code_sets SET wanted = 100 WHERE id = %(id)s", id=made.id)
    seen = []
    async for shown in watch(promos, made.id):
        seen.append((shown.made, shown.state))
        if shown.made == 0:
            # As a worker would, with a batch before this one a second ago.
            await promos.db.run(make_codes, UUID(made.id))
    assert seen == [(0, MAKING), (100, READY)]


@pytest.mark.covers("C1 CodeSetService.WatchCodeSetEvents")
async def test_progress_is_events_with_ids_and_silence_has_a_heartbeat(
    promos: Promos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_sent_events, "HEARTBEAT_SECONDS", 0.2)
    made = await create_set(promos, quantity=0, import_only=True)
    await promos.execute("UPDATE code_sets SET wanted = 100 WHERE id = %(id)s", id=made.id)
    request = code_set_pb2.WatchCodeSetEventsRequest(code_set_id=made.id)
    stream = aiter(stub_of(promos).WatchCodeSetEvents(request, metadata=bearer(promos.admin)))
    pieces = [(await anext(stream)).data.decode() for _ in range(3)]
    assert (pieces[0], pieces[2]) == ("retry: 2000\n\n", ": still here\n\n")
    event_id, _, data = pieces[1].partition("\n")
    assert int(event_id.removeprefix("id: ")) > 1_700_000_000_000
    shown = json.loads(data.removeprefix("data: "))["code_set"]
    assert (shown["id"], shown["made"], shown["state"]) == (made.id, 0, "CODE_SET_STATE_MAKING")
    await promos.db.run(make_codes, UUID(made.id))
    rest = [piece.data async for piece in stream]
    assert json.loads(rest[-1].partition(b"data: ")[2])["code_set"]["state"] == "CODE_SET_STATE_READY"


async def test_rate_and_time_left_are_of_the_last_batches_and_forget_a_pause(
    promos: Promos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "BATCH", 100)
    made = await create_set(promos, quantity=0, import_only=True)
    await promos.execute("UPDATE code_sets SET wanted = 1000 WHERE id = %(id)s", id=made.id)

    async def one_batch(*, after: float) -> code_set_pb2.CodeSet:
        await promos.execute(
            "UPDATE code_sets SET made_at = clock_timestamp() - %(after)s * interval '1 s' WHERE id = %(id)s",
            after=after,
            id=made.id,
        )
        await promos.db.run(make_codes, UUID(made.id))
        return await get_set(promos, made.id)

    first = await one_batch(after=3600)
    assert (first.made, first.made_per_second, first.HasField("seconds_left")) == (100, 0, False)
    second = await one_batch(after=5)
    assert 5 < second.made_per_second <= 20
    assert second.seconds_left == math.ceil(800 / second.made_per_second)
    third = await one_batch(after=5)
    assert 5 < third.made_per_second <= 20
    await promos.execute(
        "UPDATE code_sets SET made_at = now() - interval '11 s' WHERE id = %(id)s", id=made.id
    )
    silent = await get_set(promos, made.id)
    assert (silent.made_per_second, silent.HasField("seconds_left")) == (0, False), "nothing is being made"
    assert silent.state == MAKING
    again = await one_batch(after=60)
    assert again.made_per_second == 0, "what was before the pause tells nothing"
    while await promos.db.run(make_codes, UUID(made.id)):
        pass


async def test_only_so_many_watch_at_a_time_and_none_when_the_service_stops(promos: Promos) -> None:
    handlers = CodeSetHandlers(promos.db, "USD", most_watchers=1)
    made = await create_set(promos, quantity=0, import_only=True)
    await promos.execute("UPDATE code_sets SET wanted = 1 WHERE id = %(id)s", id=made.id)
    request = code_set_pb2.WatchCodeSetRequest(code_set_id=made.id)

    def watching() -> AsyncGenerator[code_set_pb2.WatchCodeSetResponse]:
        return handlers.WatchCodeSet(request, None)  # type: ignore[arg-type, return-value]

    set_caller(Caller(str(new_id()), "admin"))
    first = watching()
    await anext(first)
    with pytest.raises(DomainError, match="TOO_MANY_WATCHERS"):
        await anext(watching())
    await first.aclose()
    second = watching()
    await anext(second)
    handlers.close_streams()
    with pytest.raises(DomainError, match="DEPENDENCY_UNAVAILABLE"):
        await anext(second)
    await promos.db.run(make_codes, UUID(made.id))
