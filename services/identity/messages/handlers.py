"""Looking after notices, and reading those that the sandbox keeps."""

from __future__ import annotations

from uuid import UUID

from scrip.common.v1 import list_pb2
from scrip.identity.v1 import notice_pb2, sandbox_pb2

from services.common.db import Database
from services.common.encoding import Context, timestamp
from services.common.paging import Page
from services.identity.messages.queries import NOTICES, NoticeRow
from services.identity.messages.texts import NoticeKind, notice_text


class NoticeHandlers:
    """Shows what became of notices: a part of MemberAdminService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListNotices(
        self, request: notice_pb2.ListNoticesRequest, context: Context
    ) -> notice_pb2.ListNoticesResponse:
        """Returns a page of notices."""
        state = None
        if request.state:
            state = notice_pb2.NoticeState.Name(request.state).removeprefix("NOTICE_STATE_")
        member_id = UUID(request.member_id) if request.member_id else None
        wanted = {"state": state, "member_id": member_id}
        page = Page(request.page_size, request.page_token, "notices", *wanted.values(), request.order_by)
        rows, next_token = await self._db.read(NOTICES.page, page, order_by=request.order_by, **wanted)
        response = notice_pb2.ListNoticesResponse(notices=map(_notice, rows), next_page_token=next_token)
        if request.with_total:
            total = await self._db.read(NOTICES.total, **wanted)
            response.total.CopyFrom(list_pb2.ListTotal(count=total.count, more=total.more))
        return response


class SandboxNoticeHandlers:
    """Shows a member's notices with their texts: a part of SandboxService."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ListSandboxNotices(
        self, request: sandbox_pb2.ListSandboxNoticesRequest, context: Context
    ) -> sandbox_pb2.ListSandboxNoticesResponse:
        """Returns a page of a member's notices."""
        page = Page(request.page_size, request.page_token, "sandbox_notices", request.member_id)
        rows, next_token = await self._db.read(NOTICES.page, page, member_id=UUID(request.member_id))
        return sandbox_pb2.ListSandboxNoticesResponse(
            notices=map(_sandbox_notice, rows), next_page_token=next_token
        )


def _notice(row: NoticeRow) -> notice_pb2.Notice:
    return notice_pb2.Notice(
        id=str(row.id),
        member_id=str(row.member_id),
        kind=notice_pb2.NoticeKind.Value(f"NOTICE_KIND_{row.kind}"),
        state=notice_pb2.NoticeState.Value(f"NOTICE_STATE_{row.state}"),
        recipient=row.recipient,
        language=row.language,
        tries=row.tries,
        last_error=row.last_error,
        created_at=timestamp(row.created_at),
        tried_at=timestamp(row.tried_at),
    )


def _sandbox_notice(row: NoticeRow) -> sandbox_pb2.SandboxNotice:
    text = notice_text(NoticeKind(row.kind), row.language, row.created_at)
    return sandbox_pb2.SandboxNotice(notice=_notice(row), subject=text.subject, text=text.body)
