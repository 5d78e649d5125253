"""A page of a list, as list calls of all services reply with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from scrip.common.v1 import list_pb2

from services.common.db import Database
from services.common.lists import Listing
from services.common.paging import Page

Row = TypeVar("Row")


class ListRequest(Protocol):
    """What every request for a page has."""

    page_size: int
    page_token: str
    with_total: bool

    @property
    def DESCRIPTOR(self) -> Any:  # noqa: N802  # as protobuf calls it
        """The request's kind; pages of one kind are not pages of another."""


@dataclass(frozen=True)
class ListPage(Generic[Row]):
    """The rows of a page, the token of the next one, and the total if it was asked for."""

    rows: Sequence[Row]
    next_page_token: str
    total: list_pb2.ListTotal | None


async def read_page(
    db: Database,
    listing: Listing[Row],
    request: ListRequest,
    *,
    order_by: str = "",
    asked: object = None,
    **wanted: object,
) -> ListPage[Row]:
    """Returns the page that is asked for, of the rows that the filters leave.

    A filter whose value is None is not asked for. `asked` is what the caller asked for, where values of
    filters may differ from page to page. Raises PAGE_TOKEN_NOT_VALID for a token of another list, of other
    filters or of another order.
    """
    scope = (request.DESCRIPTOR.name, order_by, sorted(wanted.items()) if asked is None else asked)
    page = Page(request.page_size, request.page_token, *scope)
    rows, next_page_token = await db.read(partial(listing.page, page=page, order_by=order_by, **wanted))
    total = None
    if request.with_total:
        found = await db.read(partial(listing.total, **wanted))
        total = list_pb2.ListTotal(count=found.count, more=found.more)
    return ListPage(rows, next_page_token, total)
