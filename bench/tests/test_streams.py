"""The load generator of streams speaks HTTP/2 as a gRPC server understands it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from scrip.points.v1 import purchase_pb2, purchase_pb2_grpc

from bench.loader import Plan
from bench.streams import run
from bench.wire import IN_MESSAGE
from bench.world import World


class _Answers(purchase_pb2_grpc.PurchaseServiceServicer):
    """Replies to each receipt at once, and remembers them."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.tokens: set[str] = set()

    async def StreamPurchases(
        self, request_iterator: AsyncIterator[purchase_pb2.StreamPurchasesRequest], context: Any
    ) -> AsyncIterator[purchase_pb2.StreamPurchasesResponse]:
        """Replies to each message."""
        self.tokens.add(dict(context.invocation_metadata())["authorization"])
        recorded = purchase_pb2.PurchaseResult(recorded=purchase_pb2.RecordPurchaseResponse())
        async for request in request_iterator:
            self.numbers += [one.receipt_number for one in request.purchases]
            yield purchase_pb2.StreamPurchasesResponse(results=[recorded] * len(request.purchases))


@pytest.mark.parametrize("scenario", IN_MESSAGE)
async def test_every_receipt_is_sent_once_and_every_answer_counted(
    world: World, tmp_path: Path, scenario: str
) -> None:
    world.write(tmp_path / "world.json")
    # As the services do: what a server has room for without end would be sent long before it has a result.
    server: grpc.aio.Server = grpc.aio.server(options=[("grpc.http2.bdp_probe", 0)])
    answers = _Answers()  # type: ignore[abstract]  # nobody calls the others
    purchase_pb2_grpc.add_PurchaseServiceServicer_to_server(answers, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    result = await run(Plan(str(tmp_path / "world.json"), scenario, port, "run", 2, 0.0, 0.5))
    await server.stop(None)
    assert result.errors == {}
    assert result.answered == len(answers.numbers) == len(set(answers.numbers)) > 100
    assert answers.tokens == {"Bearer till-token-0", "Bearer till-token-1"}
