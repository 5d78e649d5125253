"""The reasons of refusals: listed, described, documented, and made by somebody."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.common.status import CODES
from tests.contract.descriptors import reasons, status_code
from tests.contract.raised import mentions, raised
from tests.edge.edge import committed, nodes_with
from tools import errors

# These hand on a reason that somebody else made: another service, or the order or the gift when it failed.
HANDED_ON = {
    "services/common/status.py",
    "services/vouchers/gifts/given_handlers.py",
    "services/vouchers/orders/handlers.py",
}
DOCUMENTED = {reason.name: reason for reason in errors.reasons()}


def edge_details() -> Iterator[dict[str, Any]]:
    """The ErrorInfo of every refusal that the edge makes, as JSON and as gRPC's binary details."""
    config = committed()
    yield from (detail for detail in nodes_with(config, "@type") if detail["@type"].endswith(".ErrorInfo"))
    for added in nodes_with(config, "header"):
        header = added["header"]
        if isinstance(header, dict) and header.get("key") == "grpc-status-details-bin":
            packed = base64.b64decode(header["value"] + "=" * (-len(header["value"]) % 4))
            status = status_pb2.Status.FromString(packed)
            info = error_details_pb2.ErrorInfo()
            assert status.details[0].Unpack(info)
            yield {"metadata": {}, **MessageToDict(info)}


def made() -> set[str]:
    """Returns every reason that the services or the edge make."""
    return {reason for each in raised() for reason in each.reasons} | {
        detail["reason"] for detail in edge_details()
    }


def test_the_edge_makes_reasons_in_json_and_for_grpc() -> None:
    found = [detail["reason"] for detail in edge_details()]
    assert len(found) > len(set(found)) >= 5


def test_every_reason_has_a_status_code_that_refuses() -> None:
    assert [name for name, value in reasons().items() if status_code(value) == code_pb2.OK] == []
    assert {name: status_code(value) for name, value in reasons().items()} == CODES


def test_every_reason_describes_itself_and_its_metadata() -> None:
    for reason in DOCUMENTED.values():
        assert reason.meaning.endswith("."), reason
        assert len(reason.meaning) > 10, reason
        example = json.loads(reason.metadata or "{}")
        assert all(isinstance(value, str) and value for value in example.values()), reason


def test_every_reason_is_made_somewhere() -> None:
    assert reasons().keys() - made() == set()


def test_no_reason_is_made_that_is_not_listed() -> None:
    assert made() - reasons().keys() == set()


def test_reasons_are_written_where_they_are_made() -> None:
    elsewhere = {each.where.partition(":")[0] for each in raised() if not each.reasons}
    assert elsewhere <= HANDED_ON


def test_what_makes_a_refusal_is_used() -> None:
    assert [each.where for each in raised() if each.made_by and not mentions()[each.made_by]] == []


def test_refusals_carry_the_metadata_that_is_described() -> None:
    wrong = [
        (each.where, reason, sorted(each.metadata))
        for each in raised()
        for reason in each.reasons
        if each.metadata is not None and each.where.partition(":")[0] not in HANDED_ON
        if each.metadata != set(json.loads(_described(reason)))
    ]
    assert wrong == []


def test_refusals_of_the_edge_carry_the_metadata_that_is_described() -> None:
    for detail in edge_details():
        assert detail["domain"] == "scrip"
        assert detail["metadata"].keys() == json.loads(_described(detail["reason"])).keys(), detail


def test_the_document_says_what_the_contract_says() -> None:
    assert errors.DOCUMENT.read_text() == errors.render(), "run `.venv/bin/python -m tools.errors`"


def test_the_document_lists_every_reason_once() -> None:
    rows = [line.split("|") for line in errors.DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert [row[1].strip(" `") for row in rows] == list(reasons())
    for row in rows:
        assert int(row[2]) in range(400, 600)


def _described(reason: str) -> str:
    return (DOCUMENTED[reason].metadata if reason in DOCUMENTED else "") or "{}"
