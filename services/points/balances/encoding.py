"""The refund policy as protobuf has it. Serves the handlers of other rooms too."""

from __future__ import annotations

from typing import assert_never

from scrip.points.v1 import admin_pb2

from services.points.programme import RefundPolicy


def refund_policy(policy: RefundPolicy) -> admin_pb2.RefundPolicy.ValueType:
    """Returns a refund policy."""
    match policy:
        case RefundPolicy.NEGATIVE_BALANCE:
            return admin_pb2.REFUND_POLICY_NEGATIVE_BALANCE
        case RefundPolicy.DEBT:
            return admin_pb2.REFUND_POLICY_DEBT
        case _:
            assert_never(policy)
