"""Domain errors to statuses, over a real channel, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common import status
from services.common.errors import (
    DomainError,
    FieldViolation,
    OutcomeUnknownError,
    invalid_field,
    overloaded,
    unavailable,
)
from services.common.status import CODES

DEFINITE = {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION"}


class ExecuteBatchError(Exception):
    """Named as what gRPC raises when the caller has gone."""


def test_a_caller_who_has_gone_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        status.of_any(ExecuteBatchError(), "x.Y")
    assert caplog.records == []
    with caplog.at_level("WARNING"):
        status.of_any(ValueError(), "x.Y")
    assert [record.levelname for record in caplog.records] == ["ERROR"]


class Refuser:
    """A server that ends every call with the status that it holds, or with an error."""

    def __init__(self) -> None:
        self.status = status_pb2.Status()
        self.server = grpc.aio.server()
        handler: Any = grpc.unary_unary_rpc_method_handler(self._refuse)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("x.Y", {"Z": handler}),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.bare: tuple[grpc.StatusCode, str] | None = None

    async def call(self) -> grpc.aio.AioRpcError:
        """Makes a call; returns its refusal."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            method: Any = channel.unary_unary("/x.Y/Z")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(b"", timeout=5)
        return caught.value

    async def refuse(self, error: DomainError) -> grpc.aio.AioRpcError:
        """Returns how a caller sees this error."""
        self.status = status.to_status(error)
        return await self.call()

    async def _refuse(self, request: bytes, context: Any) -> bytes:
        if self.bare:
            await context.abort(*self.bare)
        await status.abort(context, self.status)
        raise AssertionError("abort never returns")


@pytest.fixture(scope="module")
async def refuser() -> AsyncIterator[Refuser]:
    """A server that refuses."""
    refuser = Refuser()
    await refuser.server.start()
    yield refuser
    await refuser.server.stop(None)


def details_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Returns the whole status."""
    found: Any = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has what a Call has
    assert isinstance(found, status_pb2.Status)
    return found


@pytest.mark.parametrize("reason", CODES)
async def test_every_reason_goes_out_with_its_code_and_comes_back_as_itself(
    refuser: Refuser, reason: str
) -> None:
    seen = await refuser.refuse(DomainError(reason, "a messäge", key="välue", number=7))
    assert seen.code().value[0] == CODES[reason]
    assert seen.details() == "a messäge"
    back = status.from_rpc_error(seen, "points")
    if code_pb2.Code.Name(CODES[reason]) in DEFINITE:
        assert not isinstance(back, OutcomeUnknownError)
        assert (back.reason, back.message) == (reason, "a messäge")
        assert back.metadata == {"key": "välue", "number": "7"}
    else:
        assert isinstance(back, OutcomeUnknownError)
        assert (back.reason, back.metadata) == ("DEPENDENCY_UNAVAILABLE", {"dependency": "points"})


async def test_the_status_says_everything_and_the_error_info_comes_first(refuser: Refuser) -> None:
    fields = (FieldViolation("items[2].sku", "is missing"), FieldViolation("phone", "is not one"))
    error = DomainError("VALIDATION_FAILED", "not valid", fields=fields, retry_after=2.5, limit="x")
    found = details_of(await refuser.refuse(error))
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    assert len(found.details) == 3
    assert all(detail.Unpack(kind) for detail, kind in zip(found.details, (info, bad, retry), strict=True))
    assert (info.reason, info.domain, dict(info.metadata)) == ("VALIDATION_FAILED", "scrip", {"limit": "x"})
    assert [(v.field, v.description) for v in bad.field_violations] == [
        (f.field, f.description) for f in fields
    ]
    assert retry.retry_delay.ToMilliseconds() == 2500


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1.0, "1"), (1.5, "2"), (60, "60")])
async def test_when_to_retry_is_a_header_too_and_never_too_early(
    refuser: Refuser, seconds: float, header: str
) -> None:
    seen = await refuser.refuse(DomainError("TOO_MANY_REQUESTS", "wait", retry_after=seconds))
    trailers = {str(key): value for key, value in seen.trailing_metadata() or ()}
    assert trailers["retry-after"] == header


async def test_without_a_time_to_retry_there_is_no_header(refuser: Refuser) -> None:
    seen = await refuser.refuse(DomainError("SOLD_OUT", "gone"))
    assert "retry-after" not in {key for key, _ in seen.trailing_metadata() or ()}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (invalid_field("phone", "is not one"), "VALIDATION_FAILED"),
        (unavailable("database"), "DEPENDENCY_UNAVAILABLE"),
        (overloaded("purchases"), "OVERLOADED"),
        (OutcomeUnknownError("promos"), "DEPENDENCY_UNAVAILABLE"),
    ],
)
async def test_the_common_refusals_can_be_sent(refuser: Refuser, error: DomainError, reason: str) -> None:
    seen = await refuser.refuse(error)
    assert seen.code().value[0] == CODES[reason]
    assert details_of(seen).message == error.message


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_a_status_without_a_reason_says_nothing_about_the_outcome(
    refuser: Refuser, code: grpc.StatusCode
) -> None:
    refuser.bare = (code, "words")
    try:
        assert isinstance(status.from_rpc_error(await refuser.call(), "points"), OutcomeUnknownError)
    finally:
        refuser.bare = None


@pytest.mark.parametrize(
    "info",
    [
        error_details_pb2.ErrorInfo(reason="SOLD_OUT", domain="another"),
        error_details_pb2.ErrorInfo(reason="OF_A_NEWER_VERSION", domain="scrip"),
    ],
)
async def test_foreign_and_unknown_reasons_are_not_taken_for_ours(
    refuser: Refuser, info: error_details_pb2.ErrorInfo
) -> None:
    refuser.status = status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message="no")
    refuser.status.details.add().Pack(info)
    assert isinstance(status.from_rpc_error(await refuser.call(), "points"), OutcomeUnknownError)


async def test_a_fault_over_there_is_told_from_no_answer(refuser: Refuser) -> None:
    failed = status.from_rpc_error(await refuser.refuse(DomainError("INTERNAL", "a defect")), "points")
    away = status.from_rpc_error(await refuser.refuse(unavailable("database")), "points")
    assert isinstance(failed, OutcomeUnknownError)
    assert isinstance(away, OutcomeUnknownError)
    assert (failed.failed, away.failed) == (True, False)


async def test_no_answer_at_all_leaves_the_outcome_unknown() -> None:
    async with grpc.aio.insecure_channel("ipv4:127.0.0.1:1") as channel:
        method: Any = channel.unary_unary("/x.Y/Z")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"", timeout=2)
    assert isinstance(status.from_rpc_error(caught.value, "points"), OutcomeUnknownError)
