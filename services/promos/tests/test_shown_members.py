"""Whose member codes are: asked of identity, many at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import grpc
import pytest
from scrip.identity.internal.v1 import identity_pb2

from services.common.errors import DomainError
from services.promos import shown_members
from services.promos.shown_members import ShownMember, ShownMembers


async def test_codes_that_are_shown_at_the_same_time_share_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd at the tills is one question to identity, which what can be no code does not spoil."""
    asked: list[list[str]] = []

    async def call(
        _dependency: str, _method: object, request: identity_pb2.BatchResolveMemberCodesRequest, **_: object
    ) -> identity_pb2.BatchResolveMemberCodesResponse:
        asked.append(list(request.member_codes))
        known = {code for code in request.member_codes if code != "N0B0DY"}
        members = {
            code: identity_pb2.ResolvedMemberCode(member_id=str(UUID(int=len(code)))) for code in known
        }
        return identity_pb2.BatchResolveMemberCodesResponse(members=members)

    async def found(code: str) -> ShownMember | str:
        try:
            return await members.find(code)
        except DomainError as error:
            return error.reason

    monkeypatch.setattr(shown_members, "call", call)
    peers: Any = SimpleNamespace(identity=grpc.aio.insecure_channel("127.0.0.1:1"), token=None)
    members = ShownMembers(peers)
    given = ["a-b", "AB", "abc", "nobody", "-", "x" * 65, "\0"]
    replies = await asyncio.gather(*(found(code) for code in given * 10))
    assert [sorted(codes) for codes in asked] == [["AB", "ABC", "N0B0DY"]]
    two, three, unknown = (
        ShownMember(UUID(int=2), None),
        ShownMember(UUID(int=3), None),
        "MEMBER_CODE_UNKNOWN",
    )
    assert replies == [two, two, three, unknown, unknown, unknown, unknown] * 10
    await peers.identity.close()
