"""An empty authenticated RPC: `python -m bench.empty <listen address> <identity's target>`.

GetMyBalance behind the server, the interceptor, the token check and the validation that all of Scrip's
services have, answered at once with nothing. It is what any RPC of Scrip costs before it does anything.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import orjson
import uvloop
from scrip.identity.v1 import auth_pb2, auth_pb2_grpc
from scrip.points.v1 import points_pb2, points_pb2_grpc

from services.common.auth import KeyRing, TokenVerifier
from services.common.channels import call, open_channel
from services.common.encoding import Context
from services.common.server import Service, Servicer, run_server
from services.common.settings import ServiceSettings


class EmptyPoints(points_pb2_grpc.PointsServiceServicer):
    """Implements GetMyBalance, without a balance."""

    async def GetMyBalance(  # noqa: N802  # the proto's name
        self,
        request: points_pb2.GetMyBalanceRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> points_pb2.GetMyBalanceResponse:
        """Nothing, at once."""
        return points_pb2.GetMyBalanceResponse()


async def serve(listen: str, identity: str) -> None:
    """Serves until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    channel = open_channel(identity)
    auth = auth_pb2_grpc.AuthServiceStub(channel)

    async def fetch_keys() -> Any:
        return orjson.loads((await call("identity", auth.GetJwks, auth_pb2.GetJwksRequest())).data)

    keys = KeyRing(fetch_keys)
    servicer = Servicer(
        "scrip.points.v1.PointsService",
        points_pb2_grpc.add_PointsServiceServicer_to_server,
        EmptyPoints(),  # type: ignore[abstract]  # the RPCs that nobody calls say UNIMPLEMENTED
    )
    settings = ServiceSettings(
        listen=listen,
        database_url="",
        redis_url="",
        identity_target=identity,
        points_target="",
        vouchers_target="",
        promos_target="",
    )
    service = Service([servicer], TokenVerifier(keys), checks=[keys.known], loops=[keys.keep_fresh])
    await run_server(service, settings, stop)
    await channel.close()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
