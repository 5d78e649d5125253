"""WebhookService: where brands are told of events, and what they were told."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from scrip.promos.v1 import webhook_pb2

from services.common.caller import caller
from services.common.db import Connection, Database
from services.common.encoding import Context, moment, read_optional_text, read_text
from services.common.errors import invalid_field
from services.common.list_pages import read_page
from services.common.sealing import Sealer
from services.common.webhooks import deliveries, endpoints
from services.common.webhooks.addresses import Network, url_fault
from services.common.webhooks.deliveries import DELIVERIES, DeliveryRow
from services.common.webhooks.endpoints import ENDPOINTS, EndpointChanges, EndpointWithSecret
from services.promos.brand_access import require_own_brand
from services.promos.brands import require_brand
from services.promos.webhooks.encoding import encode_delivery, encode_endpoint, state_name

_OVERLAP_HOURS = 24


class WebhookHandlers:
    """Implements WebhookService: webhooks themselves."""

    def __init__(self, db: Database, sealer: Sealer, allowed: Sequence[Network]) -> None:
        self._db = db
        self._sealer = sealer
        self._allowed = allowed

    async def CreateWebhook(
        self, request: webhook_pb2.CreateWebhookRequest, context: Context
    ) -> webhook_pb2.CreateWebhookResponse:
        """Makes a webhook of a brand."""
        brand_id, url = _own_brand(request.brand_id), self._url(request.url)
        description = read_optional_text(request.description, "description")

        async def create(connection: Connection) -> EndpointWithSecret:
            await require_brand(connection, brand_id)
            return await endpoints.create_endpoint(
                connection,
                self._sealer,
                actor=caller(),
                owner_id=brand_id,
                url=url,
                description=description,
                kinds=request.event_types,
            )

        made = await self._db.run(create)
        return webhook_pb2.CreateWebhookResponse(webhook=encode_endpoint(made.endpoint), secret=made.secret)

    async def GetWebhook(
        self, request: webhook_pb2.GetWebhookRequest, context: Context
    ) -> webhook_pb2.GetWebhookResponse:
        """Returns one webhook."""
        brand_id = _own_brand(request.brand_id)
        row = await self._db.read(endpoints.get_endpoint, brand_id, UUID(request.webhook_id))
        return webhook_pb2.GetWebhookResponse(webhook=encode_endpoint(row))

    async def ListWebhooks(
        self, request: webhook_pb2.ListWebhooksRequest, context: Context
    ) -> webhook_pb2.ListWebhooksResponse:
        """Returns a page of a brand's webhooks."""
        page = await read_page(self._db, ENDPOINTS, request, owner_id=_own_brand(request.brand_id))
        return webhook_pb2.ListWebhooksResponse(
            webhooks=map(encode_endpoint, page.rows), next_page_token=page.next_page_token, total=page.total
        )

    async def UpdateWebhook(
        self, request: webhook_pb2.UpdateWebhookRequest, context: Context
    ) -> webhook_pb2.UpdateWebhookResponse:
        """Changes what is given."""
        row = await self._db.run(
            endpoints.update_endpoint,
            actor=caller(),
            owner_id=_own_brand(request.brand_id),
            endpoint_id=UUID(request.webhook_id),
            etag=request.etag,
            changes=EndpointChanges(
                url=self._url(request.url) if request.HasField("url") else None,
                description=_description(request),
                kinds=request.event_types or None,
                enabled=request.enabled if request.HasField("enabled") else None,
            ),
        )
        return webhook_pb2.UpdateWebhookResponse(webhook=encode_endpoint(row))

    async def DeleteWebhook(
        self, request: webhook_pb2.DeleteWebhookRequest, context: Context
    ) -> webhook_pb2.DeleteWebhookResponse:
        """Deletes a webhook."""
        await self._db.run(
            endpoints.delete_endpoint,
            actor=caller(),
            owner_id=_own_brand(request.brand_id),
            endpoint_id=UUID(request.webhook_id),
            etag=request.etag,
        )
        return webhook_pb2.DeleteWebhookResponse()

    async def RotateWebhookSecret(
        self, request: webhook_pb2.RotateWebhookSecretRequest, context: Context
    ) -> webhook_pb2.RotateWebhookSecretResponse:
        """Makes another secret."""
        rotated = await self._db.run(
            endpoints.rotate_secret,
            self._sealer,
            actor=caller(),
            owner_id=_own_brand(request.brand_id),
            endpoint_id=UUID(request.webhook_id),
            etag=request.etag,
            overlap_hours=request.overlap_hours if request.HasField("overlap_hours") else _OVERLAP_HOURS,
        )
        return webhook_pb2.RotateWebhookSecretResponse(
            webhook=encode_endpoint(rotated.endpoint), secret=rotated.secret
        )

    def _url(self, url: str) -> str:
        """Returns a URL that webhooks may be sent to. Raises VALIDATION_FAILED for another one."""
        fault = url_fault(url, self._allowed)
        if fault:
            raise invalid_field("url", fault)
        return url


class DeliveryHandlers:
    """Implements WebhookService: what webhooks were told."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def PingWebhook(
        self, request: webhook_pb2.PingWebhookRequest, context: Context
    ) -> webhook_pb2.PingWebhookResponse:
        """Queues a ping."""
        brand_id, webhook_id = _own_brand(request.brand_id), UUID(request.webhook_id)
        row = await self._db.run(deliveries.ping, owner_id=brand_id, endpoint_id=webhook_id)
        return webhook_pb2.PingWebhookResponse(delivery=encode_delivery(row))

    async def ListDeliveries(
        self, request: webhook_pb2.ListDeliveriesRequest, context: Context
    ) -> webhook_pb2.ListDeliveriesResponse:
        """Returns a page of a webhook's deliveries, with their attempts."""
        brand_id, webhook_id = _own_brand(request.brand_id), UUID(request.webhook_id)
        await self._db.read(endpoints.get_endpoint, brand_id, webhook_id)
        page = await read_page(
            self._db,
            DELIVERIES,
            request,
            order_by=request.order_by,
            endpoint_id=webhook_id,
            state=state_name(request.state) if request.state else None,
            kind=request.event_type or None,
            created_from=moment(request, "created_from"),
            created_until=moment(request, "created_until"),
        )
        made = await self._db.read(deliveries.attempts_of, webhook_id, [row.event_id for row in page.rows])
        return webhook_pb2.ListDeliveriesResponse(
            deliveries=[encode_delivery(row, made.get(row.event_id, ())) for row in page.rows],
            next_page_token=page.next_page_token,
            total=page.total,
        )

    async def GetDelivery(
        self, request: webhook_pb2.GetDeliveryRequest, context: Context
    ) -> webhook_pb2.GetDeliveryResponse:
        """Returns one delivery, with its attempts."""
        brand_id, webhook_id = _own_brand(request.brand_id), UUID(request.webhook_id)
        row, made = await self._db.run(
            deliveries.get_with_attempts, brand_id, webhook_id, UUID(request.delivery_id)
        )
        return webhook_pb2.GetDeliveryResponse(delivery=encode_delivery(row, made))

    async def RedeliverDelivery(
        self, request: webhook_pb2.RedeliverDeliveryRequest, context: Context
    ) -> webhook_pb2.RedeliverDeliveryResponse:
        """Has one delivery sent again."""
        row: DeliveryRow = await self._db.run(
            deliveries.redeliver,
            actor=caller(),
            owner_id=_own_brand(request.brand_id),
            endpoint_id=UUID(request.webhook_id),
            event_id=UUID(request.delivery_id),
        )
        return webhook_pb2.RedeliverDeliveryResponse(delivery=encode_delivery(row))

    async def RedeliverFailedDeliveries(
        self, request: webhook_pb2.RedeliverFailedDeliveriesRequest, context: Context
    ) -> webhook_pb2.RedeliverFailedDeliveriesResponse:
        """Has all failed deliveries since a moment sent again."""
        since = moment(request, "since")
        assert since is not None, "the contract requires it"
        count = await self._db.run(
            deliveries.redeliver_failed,
            actor=caller(),
            owner_id=_own_brand(request.brand_id),
            endpoint_id=UUID(request.webhook_id),
            since=since,
        )
        return webhook_pb2.RedeliverFailedDeliveriesResponse(redelivered=count)


def _description(request: webhook_pb2.UpdateWebhookRequest) -> str | None:
    """Returns the description that is asked for: None for the one that it has, an empty text for none."""
    cleared = "description" in request.clear
    if not request.HasField("description"):
        return "" if cleared else None
    if cleared:
        raise invalid_field("description", "is both given and cleared")
    return read_text(request.description, "description")


def _own_brand(brand_id: str) -> UUID:
    """Returns the brand of a request. Raises BRAND_NOT_YOURS for one that the caller may not act for."""
    found = UUID(brand_id)
    require_own_brand(caller(), found)
    return found
