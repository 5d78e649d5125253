"""Reads refusals, over REST and over gRPC, and checks that they have the shape of all refusals."""

from __future__ import annotations

from typing import Any, cast

import grpc
import httpx
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status


def in_json(answer: httpx.Response) -> dict[str, Any]:
    """Returns the google.rpc.Status of a refusal over REST, whose first detail is an ErrorInfo."""
    assert answer.headers["content-type"] == "application/json"
    assert not [name for name in answer.headers if name.startswith("grpc-")]
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"code", "message", "details"}
    assert isinstance(body["code"], int)
    assert body["message"]
    info = body["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "scrip"
    return body


def reason_in_json(answer: httpx.Response) -> str:
    """Returns the reason of a refusal over REST."""
    reason: str = in_json(answer)["details"][0]["reason"]
    return reason


def over_grpc(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Returns the google.rpc.Status of a refusal over gRPC."""
    status = rpc_status.from_call(cast(grpc.Call, error))
    assert isinstance(status, status_pb2.Status)
    return status


def reason_over_grpc(error: grpc.aio.AioRpcError) -> str:
    """Returns the reason of a refusal over gRPC."""
    info = error_details_pb2.ErrorInfo()
    assert over_grpc(error).details[0].Unpack(info)
    assert info.domain == "scrip"
    return info.reason
