"""Takes what became of orders' codes to vouchers."""

from __future__ import annotations

from datetime import datetime

from scrip.vouchers.internal.v1 import vouchers_pb2, vouchers_pb2_grpc
from scrip.vouchers.v1 import wallet_pb2

from services.common.channels import Peers, call
from services.common.encoding import timestamp
from services.common.outbox import Message, Sender


def code_state_sender(peers: Peers) -> Sender:
    """Returns the sender of changes of codes; vouchers keeps the newest by its version."""
    stub = vouchers_pb2_grpc.VouchersInternalServiceStub(peers.vouchers)

    async def send(message: Message) -> None:
        expires_at = message.content["expires_at"]
        request = vouchers_pb2.ApplyCodeStateRequest(
            code_id=message.subject,
            state=wallet_pb2.WalletVoucherState.Value(f"WALLET_VOUCHER_STATE_{message.content['state']}"),
            version=message.version,
            expires_at=timestamp(datetime.fromisoformat(expires_at)) if expires_at else None,
        )
        await call(message.receiver, stub.ApplyCodeState, request, token=peers.token)

    return send
