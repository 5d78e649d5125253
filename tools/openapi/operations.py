"""RPCs as operations: parameters, bodies, security and responses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor

from tools.openapi import examples, media
from tools.openapi.contract import Contract, Rpc
from tools.openapi.refusals import Refusals, all_reasons, key_of
from tools.openapi.rules import Node, must_be_given
from tools.openapi.schemas import WELL_KNOWN, Schemas

SECURITY: Node = {
    "member": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A member's token: `POST /v1/members` or `POST /v1/sessions` return it.",
    },
    "staff": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of staff: `POST /v1/sessions` returns it. Its roles are `admin`, `manager`, "
        "`cashier` and `brand_manager`; each call names those that may call it.",
    },
    "till": {
        "type": "oauth2",
        "description": "A till's token, by client credentials (RFC 6749).",
        "flows": {"clientCredentials": {"tokenUrl": "/v1/oauth/token", "scopes": {}}},
    },
    "client": {
        "type": "http",
        "scheme": "basic",
        "description": "A till's id and secret, at the token endpoint alone; the form can have them instead.",
    },
    "refresh_cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "scrip_refresh",
        "description": "The refresh token of a browser, as LogIn has set it with `cookie`.",
    },
}
# What a caller without a token may show instead.
_INSTEAD_OF_TOKENS: dict[str, list[Node]] = {
    "IssueClientToken": [{"client": []}, {}],
    "RefreshSession": [{"refresh_cookie": []}, {}],
}
_CALLERS = {
    "member": "members",
    "till": "tills",
    "admin": "admins",
    "manager": "managers",
    "cashier": "cashiers",
    "brand_manager": "brand managers",
}
_KEYS = {"required": "IdempotencyKey", "optional": "OptionalIdempotencyKey"}


def operation(rpc: Rpc, contract: Contract, schemas: Schemas, refusals: Refusals) -> Node:
    """Returns an RPC as an operation."""
    parameters = [*_parameters(rpc, schemas), *media.headers_taken(rpc)]
    if kind := key_of(rpc):
        parameters.append({"$ref": f"#/components/parameters/{_KEYS[kind]}"})
    body = _body(rpc, contract, schemas)
    return {
        "operationId": contract.name(rpc.method),
        "tags": [rpc.service],
        "summary": _summary(rpc.comment),
        "description": f"{rpc.comment}\n\n**May be called by** {_who(rpc)}.",
        "security": _security(rpc),
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": body} if body else {}),
        "responses": {"200": _response(rpc, schemas), **refusals.of(rpc)},
        "x-reasons": all_reasons(rpc),
        "x-rpc": rpc.method.full_name,
    }


def _summary(comment: str) -> str:
    """Returns the first sentence, without its full stop."""
    return re.split(r"(?<=[.])\s", comment, maxsplit=1)[0].rstrip(".")


def _who(rpc: Rpc) -> str:
    if rpc.permission.anyone:
        return "anyone, with or without a token"
    return ", ".join(_CALLERS[role] for role in rpc.roles)


def _security(rpc: Rpc) -> list[Node]:
    if rpc.permission.anyone:
        return _INSTEAD_OF_TOKENS.get(rpc.method.name, [])
    staff = [role for role in rpc.roles if role not in {"member", "till"}]
    schemes: list[Node] = [{role: []} for role in ("member", "till") if role in rpc.roles]
    return [*schemes, *([{"staff": staff}] if staff else [])]


def _parameters(rpc: Rpc, schemas: Schemas) -> Iterator[Node]:
    fields = rpc.method.input_type.fields_by_name
    for name in rpc.in_path:
        yield _parameter(name, "path", fields[name], schemas) | {"required": True}
    if not rpc.body:
        for field in rpc.method.input_type.fields:
            if field.name not in rpc.in_path:
                yield from _query(field, schemas)


def _query(field: FieldDescriptor, schemas: Schemas, prefix: str = "") -> Iterator[Node]:
    """Yields the parameters of a field: of a message one for each of its fields, as `outer.inner`."""
    if field.message_type is None or field.message_type.full_name in WELL_KNOWN:
        yield _parameter(f"{prefix}{field.name}", "query", field, schemas)
    else:
        for nested in field.message_type.fields:
            yield from _query(nested, schemas, f"{prefix}{field.name}.")


def _parameter(name: str, place: str, field: FieldDescriptor, schemas: Schemas) -> Node:
    schema = schemas.field(field, sent=True)
    described = {"name": name, "in": place, "description": schema.pop("description"), "schema": schema}
    return described | ({"required": True} if must_be_given(field) else {})


def _body(rpc: Rpc, contract: Contract, schemas: Schemas) -> Node:
    if not rpc.body:
        return {}
    if rpc.body != "*" or rpc.method.input_type.full_name == media.HTTP_BODY:
        return {"required": True, "content": media.taken(rpc)}
    schema = schemas.ref(rpc.method.input_type, sent=True, without=rpc.in_path)
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "example": examples.of_request(rpc, contract)}},
    }


def _response(rpc: Rpc, schemas: Schemas) -> Node:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}} | media.headers_returned(rpc)
    if rpc.method.name in media.EVENTS_OF:
        event = descriptor_pool.Default().FindMessageTypeByName(media.EVENTS_OF[rpc.method.name])
        content = {
            "text/event-stream": {
                "schema": {
                    "type": "string",
                    "description": "Server-sent events; the `data` of each is JSON of this schema.",
                    "contentMediaType": "application/json",
                    "contentSchema": schemas.ref(event, sent=False),
                }
            }
        }
    elif rpc.method.output_type.full_name == media.HTTP_BODY:
        content = media.returned(rpc)
    else:
        content = {"application/json": {"schema": schemas.ref(rpc.method.output_type, sent=False)}}
    return {"description": "Done.", "headers": headers, "content": content}
