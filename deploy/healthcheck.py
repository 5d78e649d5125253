"""Exits with 0 when the gRPC server in this container reports SERVING, and with 1 when it does not."""

import os
import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

TIMEOUT_SECONDS = 3.0


def main() -> int:
    """Asks the server whose port is in SCRIP_LISTEN."""
    port = os.environ["SCRIP_LISTEN"].rpartition(":")[2]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        try:
            reply = check(HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            print(error, file=sys.stderr)
            return 1
    return 0 if reply.status == HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main())
