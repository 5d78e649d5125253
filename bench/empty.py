"""An empty authenticated RPC: `python -m bench.empty <listen address> <identity's target>`.

GetMyBalance behind the server, the interceptor, the token check and the validation that all of Scrip's
services have, with an empty reply at once. It is what any RPC of Scrip costs before it does anything.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import uvloop
from scrip.points.v1 import points_pb2, points_pb2_grpc

from services.common.auth import KeyRing, TokenVerifier
from services.common.cache import Redis
from services.common.channels import Peers
from services.common.encoding import Context
from services.common.server import Service, Servicer, run_server
from services.common.sessions import SessionCache, SessionGate
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
    """Serves until SIGTERM. Its secret, and where Redis is, come from the environment as for a service."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = ServiceSettings(
        listen=listen,
        database_url="",
        identity_target=identity,
        points_target="",
        vouchers_target="",
        promos_target="",
    )  # type: ignore[call-arg]  # the rest is in the environment
    peers, redis = Peers("points", settings), Redis(settings.redis_url)
    keys = KeyRing(peers.fetch_jwks)
    servicer = Servicer(
        "scrip.points.v1.PointsService",
        points_pb2_grpc.add_PointsServiceServicer_to_server,
        EmptyPoints(),  # type: ignore[abstract]  # the RPCs that nobody calls say UNIMPLEMENTED
    )
    gate = SessionGate(SessionCache(redis), peers.check_session)
    service = Service([servicer], TokenVerifier(keys), gate, checks=[keys.known], loops=[keys.keep_fresh])
    await run_server(service, settings, stop)
    await redis.close()
    await peers.close()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
