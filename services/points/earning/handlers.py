"""EarnRuleService: what purchases earn, as staff manage it."""

from __future__ import annotations

from uuid import UUID

from scrip.points.v1 import earn_rule_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, refuse_nul
from services.common.idempotent import idempotent
from services.common.list_pages import read_page
from services.points.earning import encoding, queries
from services.points.earning.commands import create_earn_rule, delete_earn_rule, update_earn_rule


class EarnRuleHandlers:
    """Implements EarnRuleService, but for the dry run, which `purchases` does."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def CreateEarnRule(
        self, request: earn_rule_pb2.CreateEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.CreateEarnRuleResponse:
        """Makes a rule, once per key when there is one."""
        actor, new = caller(), encoding.new_rule(request)

        async def create(connection: Connection) -> earn_rule_pb2.CreateEarnRuleResponse:
            made = await create_earn_rule(connection, actor=actor, new=new)
            return earn_rule_pb2.CreateEarnRuleResponse(rule=encoding.rule(made))

        return await idempotent(
            self._db, context, request, earn_rule_pb2.CreateEarnRuleResponse, create, required=False
        )

    async def GetEarnRule(
        self, request: earn_rule_pb2.GetEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.GetEarnRuleResponse:
        """Returns one rule."""
        row = await self._db.read(queries.get_earn_rule, UUID(request.earn_rule_id))
        return earn_rule_pb2.GetEarnRuleResponse(rule=encoding.rule(row))

    async def ListEarnRules(
        self, request: earn_rule_pb2.ListEarnRulesRequest, context: Context
    ) -> earn_rule_pb2.ListEarnRulesResponse:
        """Returns a page of rules."""
        refuse_nul(query=request.query)
        page = await read_page(
            self._db,
            queries.EARN_RULES,
            request,
            order_by=request.order_by,
            enabled=request.enabled if request.HasField("enabled") else None,
            kind=encoding.kind_filter(request.kind),
            query=request.query or None,
        )
        return earn_rule_pb2.ListEarnRulesResponse(
            rules=[encoding.rule(row.rule_row) for row in page.rows],
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def UpdateEarnRule(
        self, request: earn_rule_pb2.UpdateEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.UpdateEarnRuleResponse:
        """Changes what is given, empties what is named."""
        row = await self._db.run(
            update_earn_rule,
            actor=caller(),
            rule_id=UUID(request.earn_rule_id),
            etag=request.etag,
            changes=encoding.changes(request),
        )
        return earn_rule_pb2.UpdateEarnRuleResponse(rule=encoding.rule(row))

    async def DeleteEarnRule(
        self, request: earn_rule_pb2.DeleteEarnRuleRequest, context: Context
    ) -> earn_rule_pb2.DeleteEarnRuleResponse:
        """Takes a rule out of force."""
        await self._db.run(
            delete_earn_rule, actor=caller(), rule_id=UUID(request.earn_rule_id), etag=request.etag
        )
        return earn_rule_pb2.DeleteEarnRuleResponse()
