"""Wait until gRPC servers are healthy: `python -m stack.health <seconds> <name>=<host:port> ...`.

A process of its own, so that the supervisor, which forks, never loads gRPC and its threads.
"""

import asyncio
import sys

import grpc
from grpc_health.v1 import health_pb2

POLL_SECONDS = 0.05
CALL_SECONDS = 2.0
# A server that is still starting refuses connections: try again soon instead of after gRPC's usual second.
OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 250)]


async def _check(channel: grpc.aio.Channel) -> str:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = await check(health_pb2.HealthCheckRequest(service=""), timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def wait_until_serving(targets: dict[str, str], seconds: float) -> dict[str, str]:
    """Wait for all of them; returns those that are not serving in time, with their last state."""
    states = dict.fromkeys(targets, "not asked")

    async def wait_for(name: str, target: str) -> None:
        async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
            while (found := await _check(channel)) != "SERVING":
                states[name] = found
                await asyncio.sleep(POLL_SECONDS)
        del states[name]

    waiting = [asyncio.create_task(wait_for(name, target)) for name, target in targets.items()]
    done, late = await asyncio.wait(waiting, timeout=seconds)
    for task in late:
        task.cancel()
    for task in done:
        task.result()
    return states


def main(arguments: list[str]) -> int:
    """Exit status 0 when all serve in time; else the others are printed."""
    targets = dict(argument.split("=", 1) for argument in arguments[1:])
    late = asyncio.run(wait_until_serving(targets, float(arguments[0])))
    for name, found in late.items():
        print(f"{name}: {found}", flush=True)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
