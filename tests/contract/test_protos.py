"""What every RPC, message, field and route of the contract has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest
from buf.validate import validate_pb2

from tests.contract.descriptors import (
    FIELD_TYPES,
    Rpc,
    elements,
    files,
    messages,
    reasons,
    request_fields,
    rpcs,
)
from tools.openapi.contract import named_reasons

SERVICES = {"identity", "points", "vouchers", "promos"}
PUBLIC = [rpc for rpc in rpcs() if not rpc.internal]
LISTS = [rpc for rpc in rpcs() if rpc.name.startswith("List")]
VARIABLE = re.compile(r"\{([^}]*)\}")
SECRET = re.compile(r"(^|[._])(code|secret|password|token)$")
NOT_SECRET = {"page_token", "currency_code"}


def test_the_contract_is_read() -> None:
    assert len(PUBLIC) > 25
    assert len(rpcs()) > len(PUBLIC) + 5
    assert {rpc.package.split(".")[1] for rpc in PUBLIC} == SERVICES
    assert len(LISTS) >= 9


def test_every_file_says_how_other_languages_name_it() -> None:
    """Stubs of a language without such an option would need a copy of the protos."""
    options = ("csharp_namespace", "go_package", "java_package", "php_namespace", "ruby_package")
    for file in files():
        missing = [name for name in options if not getattr(file.options, name)]
        assert missing == [], file.name
        assert file.options.java_multiple_files, file.name


def test_extensions_collide_with_nobodys() -> None:
    """Neither with numbers that everybody uses at home, nor with those of the public registry."""
    numbers = [extension.number for file in files() for extension in file.extension]
    assert len(numbers) == len(set(numbers)) == 2
    assert all(number > 99_999 for number in numbers)


def test_everything_has_a_comment() -> None:
    assert [element.name for element in elements() if not element.comment] == []


def test_comments_are_found_where_they_stand() -> None:
    comments = {element.name: element.comment for element in elements()}
    assert comments["scrip.identity.v1.OtpPurpose.OTP_PURPOSE_REGISTER"] == "Making an account."
    assert comments["scrip.promos.v1.Benefit.kind"] == "The kind of benefit."
    assert comments["scrip.points.v1.PurchaseItem.alcohol"].startswith("Whether it is alcohol")
    assert comments["scrip.common.v1.extend.permission"] == "Who may call this RPC."


def test_every_rpc_declares_exactly_one_kind_of_permission() -> None:
    kinds = {
        rpc.path: (rpc.permission.anyone, bool(rpc.permission.roles), bool(rpc.permission.services))
        for rpc in rpcs()
    }
    assert [path for path, declared in kinds.items() if sum(declared) != 1] == []


def test_permissions_name_known_callers_and_services_only_internally() -> None:
    for rpc in rpcs():
        assert "unspecified" not in rpc.roles, rpc.path
        assert len(rpc.roles) == len(rpc.permission.roles), f"{rpc.path} names a role twice"
        assert set(rpc.permission.services) <= SERVICES, rpc.path
        if rpc.internal:
            assert not rpc.roles, f"{rpc.path} is internal, and people never call it"
        else:
            assert not rpc.permission.services, f"{rpc.path} is public, and services never call it"


@pytest.mark.covers("E1")
def test_public_rpcs_have_a_route_and_internal_ones_none() -> None:
    """Streams of requests are for gRPC alone: REST has no name for them. A stream of replies has another RPC
    for REST, where it is server-sent events."""
    without = {rpc.path for rpc in rpcs() if not rpc.bindings}
    for_grpc = {rpc.path for rpc in rpcs() if rpc.internal or rpc.takes_stream}
    typed = {rpc.path for rpc in rpcs() if f"{rpc.path}Events" in {other.path for other in rpcs()}}
    assert len(typed) == 3
    assert without == for_grpc | typed


def test_routes_start_at_v1_and_are_unique() -> None:
    routes = [(b.method, VARIABLE.sub("{}", b.path)) for rpc in PUBLIC for b in rpc.bindings]
    assert [path for _, path in routes if not path.startswith(("/v1/", "/.well-known/"))] == []
    assert [route for route, count in Counter(routes).items() if count > 1] == []


def test_variables_of_paths_are_plain_fields_of_the_request() -> None:
    for rpc in PUBLIC:
        fields = {field.name: field for field in messages()[rpc.request].field} if _ours(rpc) else {}
        for binding in rpc.bindings:
            for variable in VARIABLE.findall(binding.path):
                assert variable in fields, f"{binding.path} names {variable}"
                assert fields[variable].type == FIELD_TYPES.TYPE_STRING, binding.path


def test_no_url_holds_a_code_or_another_secret() -> None:
    for rpc in filter(_ours, PUBLIC):
        for binding in rpc.bindings:
            in_body = binding.body == "*"
            variables = VARIABLE.findall(binding.path)
            in_url = variables if in_body else [*variables, *request_fields(rpc.request)]
            found = [name for name in in_url if SECRET.search(name) and name.split(".")[-1] not in NOT_SECRET]
            assert found == [], f"{binding.method} {binding.path} has {found} in its URL"


def test_what_changes_something_is_not_a_get_and_has_a_body() -> None:
    for rpc in PUBLIC:
        reads = rpc.name.startswith(("Export", "Find", "Get", "List", "Watch"))
        for binding in rpc.bindings:
            assert (binding.method == "GET") == reads, rpc.path
            bodies = ["*", *_files(rpc)] if binding.method in {"POST", "PATCH", "PUT"} else [""]
            assert binding.body in bodies, rpc.path


def test_every_list_has_pages_of_a_bounded_size() -> None:
    for rpc in LISTS:
        request = {field.name: field for field in messages()[rpc.request].field}
        size = request["page_size"].options.Extensions[validate_pb2.field].int32
        assert request["page_size"].type == FIELD_TYPES.TYPE_INT32, rpc.path
        assert (size.gte, size.lte) == (0, 200), rpc.path
        token = request["page_token"].options.Extensions[validate_pb2.field].string
        assert request["page_token"].type == FIELD_TYPES.TYPE_STRING, rpc.path
        assert 0 < token.max_len <= 512, rpc.path
        response = {field.name: field for field in messages()[rpc.response].field}
        assert response["next_page_token"].type == FIELD_TYPES.TYPE_STRING, rpc.path
        repeated = [name for name, f in response.items() if f.label == FIELD_TYPES.LABEL_REPEATED]
        assert len(repeated) == 1, rpc.path


def test_nothing_but_lists_has_pages() -> None:
    paged = {rpc.path for rpc in filter(_ours, rpcs()) if "page_token" in _names(rpc.request)}
    assert paged == {rpc.path for rpc in LISTS}


def test_texts_and_lists_of_requests_are_bounded() -> None:
    unbounded = []
    for name in {rpc.request for rpc in rpcs() if _ours(rpc)}:
        for path, field in _leaves(name):
            rules = field.options.Extensions[validate_pb2.field]
            if field.label == FIELD_TYPES.LABEL_REPEATED:
                bounded = rules.repeated.max_items > 0
                rules = rules.repeated.items
            else:
                bounded = True
            if field.type == FIELD_TYPES.TYPE_STRING:
                bounded = bounded and _bounded_text(rules.string)
            if not bounded:
                unbounded.append(path)
    assert unbounded == []


def test_reasons_in_comments_exist() -> None:
    named = {word for rpc in rpcs() for word in named_reasons(rpc.comment)}
    assert len(named) > 20
    assert named - reasons().keys() == set()


def test_comments_that_name_reasons_are_read_whole() -> None:
    assert [rpc.path for rpc in rpcs() if "Reasons" in rpc.comment and not named_reasons(rpc.comment)] == []


def _ours(rpc: Rpc) -> bool:
    """Returns whether the request is of Scrip's own making, and not an HTTP body as it came."""
    return rpc.request in messages()


def _files(rpc: Rpc) -> Sequence[str]:
    """Returns the fields of a request that are an HTTP body as it comes."""
    fields = messages()[rpc.request].field if _ours(rpc) else []
    return [field.name for field in fields if field.type_name == ".google.api.HttpBody"]


def _names(message: str) -> set[str]:
    return {field.name for field in messages()[message].field}


def _leaves(message: str, prefix: str = "") -> Sequence[tuple[str, FIELD_TYPES]]:
    found = []
    for field in messages()[message].field:
        path = f"{prefix or message}.{field.name}"
        found.append((path, field))
        nested = field.type_name.lstrip(".")
        if field.type == FIELD_TYPES.TYPE_MESSAGE and nested in messages():
            found += _leaves(nested, path)
    return found


def _bounded_text(rules: validate_pb2.StringRules) -> bool:
    anchored = rules.pattern.startswith("^") and rules.pattern.endswith("$") and "*" not in rules.pattern
    in_list = len(getattr(rules, "in")) > 0
    return bool(rules.uuid or rules.max_len or in_list or anchored)
