"""Logging in by password from anywhere, as owners and strangers do."""

from __future__ import annotations

from collections.abc import Awaitable

from scrip.identity.v1 import auth_pb2

from services.common.ids import new_id
from services.identity.tests.people import People, outcome


def log_in_from(
    people: People, name: str, password: str, address: str = "", device_id: str = ""
) -> Awaitable[auth_pb2.LogInResponse]:
    """Logs in from an address, a new one when none is given."""
    given = auth_pb2.PasswordCredentials(user_name=name, password=password)
    metadata = (("x-envoy-external-address", address or f"address-{new_id()}"),)
    request = auth_pb2.LogInRequest(password=given, device_id=device_id)
    call: Awaitable[auth_pb2.LogInResponse] = people.auth.LogIn(request, metadata=metadata)
    return call


async def try_in(people: People, name: str, password: str, address: str = "", device_id: str = "") -> str:
    """Returns what becomes of logging in from this address, a new one when none is given."""
    return await outcome(log_in_from(people, name, password, address, device_id))
