"""Writes `docs/errors.md`, the list of every reason with which a call is refused, from the contract.

Run as `make proto && .venv/bin/python -m tools.errors` after a change of `error_reason.proto`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.rpc import code_pb2
from scrip.common.v1 import error_reason_pb2

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTORS = ROOT / "build" / "api.binpb"
DOCUMENT = ROOT / "docs" / "errors.md"
PROTO = "scrip/common/v1/error_reason.proto"
PREFIX = "ERROR_REASON_"

# As the edge translates them; a reason made by the edge itself notes where it differs.
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 504,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
_OWN_STATUS = re.compile(r"HTTP status (\d{3})")
_METADATA = re.compile(r"\s*Metadata: (none\.|\{.*\})$")

_HEAD = """\
# Reasons

Written by `python -m tools.errors` from `protos/scrip/common/v1/error_reason.proto`: change that file, not
this one.

Every refusal is a `google.rpc.Status`. Its first detail is an `ErrorInfo` with the domain `scrip`, one of
these reasons, and metadata as shown. Some carry more: `VALIDATION_FAILED` a `BadRequest` that names each
field, and whatever passes by waiting a `RetryInfo`. Branch on the reason; the message is for people and may
change.

| reason | HTTP | gRPC | meaning | metadata |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Reason:
    """A reason as the contract has it."""

    name: str
    code: str
    """Name of its gRPC status code."""
    http_status: int
    meaning: str
    metadata: str
    """An example as JSON; empty when none comes with it."""


def reasons() -> list[Reason]:
    """Returns all reasons, in the order of the contract. Raises ValueError for one without metadata."""
    described = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    [file] = [each for each in described.file if each.name == PROTO]
    [enum] = [each for each in file.enum_type if each.name == "ErrorReason"]
    comments = dict(_value_comments(file))
    return [
        _reason(value, comments.get(position, ""))
        for position, value in enumerate(enum.value)
        if value.number
    ]


def render() -> str:
    """Returns the document."""
    rows = (
        f"| `{reason.name}` | {reason.http_status} | {reason.code} | {reason.meaning}"
        f" | {f'`{reason.metadata}`' if reason.metadata else ''} |"
        for reason in reasons()
    )
    return _HEAD + "".join(f"{row.replace('  ', ' ')}\n" for row in rows)


def _value_comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[int, str]]:
    """The comment of each value of the file's only enum, by position."""
    for location in file.source_code_info.location:
        match list(location.path):
            case [5, 0, 2, position]:
                yield position, " ".join(location.leading_comments.split())


def _reason(value: descriptor_pb2.EnumValueDescriptorProto, comment: str) -> Reason:
    found = _METADATA.search(comment)
    if found is None:
        raise ValueError(f"the comment of {value.name} must end with its metadata, or `Metadata: none.`")
    code = code_pb2.Code.Name(value.options.Extensions[error_reason_pb2.status_code])
    own = _OWN_STATUS.search(comment)
    return Reason(
        name=value.name.removeprefix(PREFIX),
        code=code,
        http_status=int(own[1]) if own else HTTP_STATUS[code],
        meaning=comment[: found.start()],
        metadata="" if found[1] == "none." else found[1],
    )


if __name__ == "__main__":
    DOCUMENT.write_text(render())
