"""Domain errors to `google.rpc.Status` and back: the only place where status codes are chosen.

The code of each reason is an option of its enum value in error_reason.proto.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, cast

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from scrip.common.v1 import error_reason_pb2

from services.common import telemetry
from services.common.errors import DomainError, OutcomeUnknownError

log = logging.getLogger(__name__)

DOMAIN = "scrip"
_PREFIX = "ERROR_REASON_"
_FAILED = "INTERNAL"
_CALL_IS_OVER = "ExecuteBatchError"
"""What gRPC raises, by no public name, when something is sent to a caller who has gone: no defect."""
_DEFINITE = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
)
_TOLD = frozenset(code.value[0] for code in (*_DEFINITE, grpc.StatusCode.INTERNAL))

CODES: dict[str, int] = {
    value.name.removeprefix(_PREFIX): value.GetOptions().Extensions[error_reason_pb2.status_code]
    for value in error_reason_pb2.ErrorReason.DESCRIPTOR.values
    if value.number
}
"""Status code by reason."""


def of_any(error: Exception, where: str) -> status_pb2.Status:
    """Returns the status of an error; an unforeseen one is logged, and not shown to the caller."""
    if type(error).__name__ == _CALL_IS_OVER:
        error = DomainError("DEPENDENCY_UNAVAILABLE", "the call was over", dependency="caller")
    elif not isinstance(error, DomainError):
        log.error("unforeseen error in %s", where, exc_info=error)
        request_id = telemetry.request_id()
        error = DomainError(_FAILED, "something went wrong on our side", request_id=request_id)
    elif error.reason == "DEPENDENCY_UNAVAILABLE":
        log.warning("%s: %s", where, error, extra={"data": error.metadata})
    return to_status(error)


def to_status(error: DomainError) -> status_pb2.Status:
    """Returns the status of an error as its caller gets it, with all details."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    ]
    if error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=f.field, description=f.description)
            for f in error.fields
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(code=CODES[error.reason], message=error.message, details=_pack(details))


def from_rpc_error(error: grpc.RpcError, dependency: str) -> DomainError:
    """Returns what a failed call to another service means here.

    A definite refusal is returned as the domain error that the other side raised. Everything else
    (no reply, overload, a fault over there) leaves the outcome unknown.
    """
    call = cast(grpc.aio.AioRpcError, error)
    if call.code().value[0] in _TOLD:
        status = rpc_status.from_call(cast(grpc.Call, call))
        if status:
            return from_status(status, dependency)
    return OutcomeUnknownError(dependency)


def from_status(status: status_pb2.Status, dependency: str) -> DomainError:
    """Returns what a refusal in the reply of another service means here, as `from_rpc_error` does."""
    info = error_details_pb2.ErrorInfo()
    if status.code in _TOLD:
        for detail in status.details:
            if detail.Unpack(info) and info.domain == DOMAIN and info.reason in CODES:
                if info.reason == _FAILED:
                    return OutcomeUnknownError(dependency, failed=True)
                return _domain_error(info, status.message or info.reason)
    return OutcomeUnknownError(dependency)


def reason_of(status: status_pb2.Status) -> str:
    """Returns the reason of a refusal in the reply of another service, empty when it names none of ours."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info.reason
    return ""


async def abort(
    context: grpc.aio.ServicerContext[Any, Any],
    status: status_pb2.Status,
    trailers: Sequence[tuple[str, str]] = (),
) -> None:
    """Ends the call with this status, and further trailing metadata; never returns normally."""
    rpc = rpc_status.to_status(status)
    trailing = (*(rpc.trailing_metadata or ()), *trailers)
    retry_after = next((seconds for d in status.details if (seconds := _retry_seconds(d))), None)
    if retry_after is not None:
        trailing = (*trailing, ("retry-after", str(retry_after)))
    await context.abort(rpc.code, rpc.details or "", trailing_metadata=trailing)


def _domain_error(info: error_details_pb2.ErrorInfo, message: str) -> DomainError:
    error = DomainError(info.reason, message)
    error.metadata.update(info.metadata)
    return error


def _retry_seconds(detail: any_pb2.Any) -> int | None:
    info = error_details_pb2.RetryInfo()
    if not detail.Unpack(info):
        return None
    return max(1, math.ceil(info.retry_delay.ToTimedelta().total_seconds()))


def _pack(messages: Sequence[Message]) -> list[any_pb2.Any]:
    packed = []
    for message in messages:
        packed.append(any_pb2.Any())
        packed[-1].Pack(message)
    return packed
