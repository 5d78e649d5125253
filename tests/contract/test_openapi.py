"""The OpenAPI document: every route with its rules, reasons, roles and examples, as the contract has them."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import protovalidate
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from jsonschema import Draft202012Validator

from tests.contract.descriptors import Rpc, reasons, rpcs
from tests.contract.raised import sources
from tests.contract.test_protos import VARIABLE
from tools import errors
from tools.openapi import media
from tools.openapi.contract import named_reasons
from tools.openapi.document import build

Node = dict[str, Any]

ROUTED = [rpc for rpc in rpcs() if rpc.bindings]
TAKES_JSON = [rpc for rpc in ROUTED if rpc.bindings[0].body == "*" and rpc.request != media.HTTP_BODY]
RETURNS_JSON = [rpc for rpc in ROUTED if rpc.response != media.HTTP_BODY and not rpc.streams]


@cache
def document() -> Node:
    """The document as `make proto` writes it."""
    built: Node = json.loads(json.dumps(build()))
    return built


def operation(rpc: Rpc) -> Node:
    """The operation of an RPC."""
    [binding] = rpc.bindings
    found: Node = document()["paths"][binding.path][binding.method.lower()]
    return found


def resolved(node: Node) -> Node:
    """The node, or what it refers to."""
    if "$ref" not in node:
        return node
    found = document()
    for name in node["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def message(name: str, content: Node) -> Message:
    """A message with this content, in JSON. Raises ParseError when it does not fit."""
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    empty: Message = message_factory.GetMessageClass(descriptor)()
    return json_format.ParseDict(content, empty)


def validator(schema: Node) -> Draft202012Validator:
    """A validator for a part of the document."""
    return Draft202012Validator(schema | {"components": document()["components"]})


@pytest.mark.covers("E1")
def test_every_route_is_in_the_document_once() -> None:
    described = {
        (verb.upper(), path, found["x-rpc"])
        for path, verbs in document()["paths"].items()
        for verb, found in verbs.items()
    }
    assert described == {
        (binding.method, binding.path, f"{rpc.package}.{rpc.service}.{rpc.name}")
        for rpc in ROUTED
        for binding in rpc.bindings
    }
    names = [operation(rpc)["operationId"] for rpc in ROUTED]
    assert len(names) == len(set(names)) > 200


def test_each_reason_that_an_rpc_names_is_there_with_its_status() -> None:
    status_of = {reason.name: str(reason.http_status) for reason in errors.reasons()}
    assert status_of.keys() == reasons().keys()
    for rpc in ROUTED:
        found = operation(rpc)
        assert set(named_reasons(rpc.comment)) <= set(found["x-reasons"])
        if rpc.name == "IssueClientToken":  # OAuth has words of its own
            continue
        shown = {
            reason: status
            for status, response in found["responses"].items()
            if status != "200"
            for reason in resolved(response)["content"]["application/json"]["examples"]
        }
        assert shown == {reason: status_of[reason] for reason in found["x-reasons"]}, rpc.path


def test_examples_of_refusals_have_the_shape_of_refusals() -> None:
    schema = validator(document()["components"]["schemas"]["Status"])
    for reason, example in document()["components"]["examples"].items():
        assert list(schema.iter_errors(example["value"])) == [], reason
        assert example["value"]["details"][0]["reason"] == reason


@pytest.mark.parametrize("rpc", TAKES_JSON, ids=lambda rpc: rpc.short_name)
def test_the_example_of_a_request_breaks_no_rule(rpc: Rpc) -> None:
    content = operation(rpc)["requestBody"]["content"]["application/json"]
    assert list(validator(content["schema"]).iter_errors(content["example"])) == []
    in_path = {
        parameter["name"]: parameter["schema"]["examples"][0]
        for parameter in operation(rpc).get("parameters", [])
        if parameter.get("in") == "path"
    }
    protovalidate.validate(message(rpc.request, content["example"] | in_path))


@pytest.mark.parametrize("rpc", ROUTED, ids=lambda rpc: rpc.short_name)
def test_what_is_required_is_what_a_request_can_not_do_without(rpc: Rpc) -> None:
    if rpc.request == media.HTTP_BODY:
        return
    violations = protovalidate.collect_violations(message(rpc.request, {}))
    paths = [violation.proto.field.elements for violation in violations if violation.proto.field]
    missing = {path[0].field_name for path in paths if len(path) == 1} - set(_oneofs(rpc))
    assert _required(operation(rpc)) == missing | set(VARIABLE.findall(rpc.bindings[0].path))


def _required(found: Node) -> set[str]:
    parameters = [resolved(parameter) for parameter in found.get("parameters", [])]
    required = {each["name"] for each in parameters if each.get("required") and each["in"] != "header"}
    for media_type, content in found.get("requestBody", {}).get("content", {}).items():
        if media_type == "application/json" and "example" in content:
            return required | set(resolved(content["schema"]).get("required", []))
        return required | _file_field(found)
    return required


def _file_field(found: Node) -> set[str]:
    [rpc] = [rpc for rpc in ROUTED if operation(rpc) is found]
    return {rpc.bindings[0].body} - {"form"}  # which a caller of gRPC may leave out


def _oneofs(rpc: Rpc) -> Iterator[str]:
    descriptor = descriptor_pool.Default().FindMessageTypeByName(rpc.request)
    yield from (oneof.name for oneof in descriptor.oneofs)


@pytest.mark.parametrize("rpc", RETURNS_JSON, ids=lambda rpc: rpc.short_name)
def test_what_is_required_of_a_response_is_what_is_always_printed(rpc: Rpc) -> None:
    printed = json_format.MessageToDict(
        message(rpc.response, {}), always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )
    schema = resolved(operation(rpc)["responses"]["200"]["content"]["application/json"]["schema"])
    assert set(schema.get("required", [])) == printed.keys()
    assert list(validator(schema).iter_errors(printed)) == []


def test_who_may_call_is_the_security_of_the_operation() -> None:
    for rpc in ROUTED:
        named = {
            role
            for requirement in operation(rpc)["security"]
            for scheme, roles in requirement.items()
            for role in (roles or [scheme])
        }
        assert named - {"client", "refresh_cookie"} == rpc.roles, rpc.path


def test_idempotency_keys_are_told_where_the_code_takes_them() -> None:
    taken = {name: required for path in sources() for name, required in _keys_in(path.read_text())}
    assert len(taken) >= 14
    told = {}
    for rpc in ROUTED:
        for parameter in map(resolved, operation(rpc).get("parameters", [])):
            if parameter["name"] == "Idempotency-Key":
                told[rpc.name] = parameter.get("required", False)
    assert told == taken


def _keys_in(source: str) -> Iterator[tuple[str, bool]]:
    """Yields the RPCs of a module whose handlers read the header, and whether they must have it."""
    for handler in ast.walk(ast.parse(source)):
        if isinstance(handler, ast.AsyncFunctionDef) and handler.name[0].isupper():
            for call in ast.walk(handler):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") in {"idempotent", "parse_key"}:
                    said = {keyword.arg: keyword.value for keyword in call.keywords}.get("required")
                    yield handler.name, not (isinstance(said, ast.Constant) and said.value is False)


def test_a_file_has_its_own_media_type_and_name() -> None:
    files = [rpc for rpc in ROUTED if rpc.response == media.HTTP_BODY]
    assert len(files) > 15
    for rpc in files:
        response = operation(rpc)["responses"]["200"]
        assert "*/*" not in response["content"]
        if rpc.streams and rpc.name not in media.EVENTS_OF:
            assert list(response["content"]) == ["text/csv"]
            assert "Content-Disposition" in response["headers"], rpc.path


def test_streams_are_events_of_their_message() -> None:
    assert not [rpc for rpc in ROUTED if rpc.streams and rpc.response != media.HTTP_BODY]
    streams = [rpc for rpc in ROUTED if rpc.name.startswith("Watch")]
    assert {rpc.name for rpc in streams} == media.EVENTS_OF.keys()
    for rpc in streams:
        [(media_type, content)] = operation(rpc)["responses"]["200"]["content"].items()
        assert media_type == "text/event-stream"
        message = media.EVENTS_OF[rpc.name].rpartition(".")[2]
        assert content["schema"]["contentSchema"]["$ref"].endswith(f"/{message}")
