"""Refusals as the domain knows them: a reason and its metadata. Knows no gRPC.

The reasons, their meaning and their status codes stand in
`protos/scrip/common/v1/error_reason.proto`; here they are plain strings without the prefix.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldViolation:
    """A field of the request that breaks a rule."""

    field: str
    description: str


class DomainError(Exception):
    """A call is refused.

    `reason` is a name of ErrorReason without its prefix. Everything dynamic in the message is also
    in `metadata`. `retry_after` is in seconds.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        fields: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.fields = fields
        self.retry_after = retry_after
        self.metadata = {name: str(value) for name, value in metadata.items()}

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class OutcomeUnknownError(DomainError):
    """Another service did not reply, so whether it acted is unknown. Repeating with the same key is safe.

    `failed` is set when it did reply: with an unforeseen error of its own at this very call.
    """

    def __init__(self, dependency: str, *, failed: bool = False) -> None:
        super().__init__(
            "DEPENDENCY_UNAVAILABLE",
            f"{dependency} does not answer; try again with the same key",
            retry_after=1.0,
            dependency=dependency,
        )
        self.failed = failed


def invalid_field(field: str, description: str) -> DomainError:
    """A field breaks a rule that the contract alone can not express."""
    return DomainError(
        "VALIDATION_FAILED", f"{field}: {description}", fields=(FieldViolation(field, description),)
    )


def unavailable(dependency: str) -> DomainError:
    """A dependency of the call is down. If a COMMIT was sent, the outcome is unknown."""
    return DomainError(
        "DEPENDENCY_UNAVAILABLE",
        f"{dependency} does not answer; try again with the same key",
        retry_after=1.0,
        dependency=dependency,
    )


def not_served(rpc: str) -> DomainError:
    """The call may exist, but not here and now."""
    return DomainError("NOT_SERVED", "this call is not served here", rpc=rpc)


def overloaded(queue: str, *, seconds: float = 1.0) -> DomainError:
    """A bounded queue is full: the call was refused before it began to change anything.

    `seconds` is when it may be tried again.
    """
    message = f"too much is waiting in {queue}; try again"
    return DomainError("OVERLOADED", message, retry_after=seconds, queue=queue)


class UnforeseenError(Exception):
    """The database refused a statement in an unforeseen way: a defect. Holds no values.

    `code` is the database's code of the error, and the constraint if it was one.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


_AWAY = frozenset({"DEPENDENCY_UNAVAILABLE", "OVERLOADED"})


def is_away(error: Exception) -> bool:
    """Returns whether something is away or busy for now, which says nothing against what was to be done.

    A dependency that did reply, with an unforeseen error at this very call, is not away.
    """
    if isinstance(error, OutcomeUnknownError) and error.failed:
        return False
    return isinstance(error, DomainError) and error.reason in _AWAY


def described(error: Exception) -> str:
    """Returns type and reason of an error for staff; never its message, which may name a person."""
    name = type(error).__name__
    match error:
        case DomainError():
            return f"{name} {error.reason}"
        case UnforeseenError():
            return f"{name} {error.code}".rstrip()
        case _:
            return name
