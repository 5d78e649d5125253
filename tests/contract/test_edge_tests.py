"""The tests of the edge cover every internal RPC of the contract, over gRPC and over HTTP."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType

import pytest

from tests.contract.descriptors import rpcs
from tests.edge import test_grpc as edge_tests


def refused_paths(function: FunctionType) -> set[str]:
    """Returns the paths with which a test is run."""
    return {
        path
        for mark in getattr(function, "pytestmark", [])
        if mark.name == "parametrize" and mark.args[0] == "path"
        for path in mark.args[1]
    }


def refusal_tests() -> Iterator[FunctionType]:
    """The tests that call many paths and expect to be refused."""
    for name, function in inspect.getmembers(edge_tests, inspect.isfunction):
        if name.startswith("test_") and "refused" in name and refused_paths(function):
            yield function


@pytest.mark.parametrize("protocol", ["over_grpc", "over_http"])
def test_every_internal_rpc_is_tried_through_the_edge(protocol: str) -> None:
    internal = {rpc.path for rpc in rpcs() if rpc.internal}
    tried = {
        path
        for function in refusal_tests()
        if function.__name__.endswith(protocol)
        for path in refused_paths(function)
    }
    assert internal
    assert internal - tried == set()
