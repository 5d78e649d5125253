"""Settings of vouchers."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from services.common.settings import ServiceSettings
from services.common.urls import is_safe_url
from services.common.webhooks.signing import key_of

_SHORTEST_SECRET = 16


class Settings(ServiceSettings):
    """Vouchers' own settings beside the shared ones."""

    order_wait_seconds: Annotated[float, Field(gt=0, le=8)] = 5.0
    """How long PlaceOrder waits for an order to finish before it returns it as pending."""
    order_lease_seconds: Annotated[int, Field(ge=2, le=60)] = 10
    """How long the process that works on an order has it for itself; then the sweep takes over."""
    codes_ahead: Annotated[int, Field(ge=2, le=1_000_000)] = 20_000
    """Codes of a voucher that are made before they are sold; when half of them are left, more are made."""
    gift_days: Annotated[int, Field(ge=1, le=90)] = 14
    """How long a gift can be accepted before it returns to its giver."""
    gifts_per_day: Annotated[int, Field(ge=1)] = 50
    """Tries to give something that one member has in 24 hours."""
    payment_wait_seconds: Annotated[int, Field(ge=1, le=86_400)] = 900
    """How long an order waits for its payment, before it is undone."""
    quote_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    """How long a quote can be used."""
    image_folder: str = ".data/images"
    """The folder of images, shared by all processes of vouchers; not used when there is a bucket."""
    image_s3_bucket: str = ""
    """The bucket of images, at Amazon S3 or what speaks as it does; empty keeps them in the folder."""
    image_s3_endpoint: Annotated[str, Field(pattern="^(https?://.+)?$")] = ""
    """Where the bucket is; empty is Amazon's own address of the region."""
    image_s3_region: str = "us-east-1"
    """The bucket's region."""
    image_s3_key_id: str = ""
    """The id of the access key."""
    image_s3_secret: SecretStr = SecretStr("")
    """The access key."""
    max_watchers: Annotated[int, Field(ge=1)] = 2_500
    """Live quantity streams per process."""
    sandbox: bool = False
    """Whether test cards pay. Off in production, where everybody could pay with them."""
    payment_provider_name: Annotated[str, Field(pattern="^([A-Z][A-Z0-9_]{0,31})?$")] = ""
    """What the gateway is called in payment methods, and where it notifies; empty: there is none."""
    payment_provider_url: str = ""
    """Where the gateway is called; https, but for loopback."""
    payment_provider_secret: SecretStr = SecretStr("")
    """Secret for the signatures of both sides, at least 16 characters; after `whsec_` it is base64."""
    payment_provider_takes_card: bool = False
    """Whether members' cards are sent to the gateway. If not, it has a page of its own for them."""

    @model_validator(mode="after")
    def _gateway_can_be_called(self) -> Self:
        if not self.payment_provider_name:
            return self
        if self.payment_provider_name == "SANDBOX":
            raise ValueError("SCRIP_PAYMENT_PROVIDER_NAME must not be that of the sandbox")
        if not is_safe_url(self.payment_provider_url):
            raise ValueError("SCRIP_PAYMENT_PROVIDER_NAME needs SCRIP_PAYMENT_PROVIDER_URL, an https URL")
        secret = self.payment_provider_secret.get_secret_value()
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError("SCRIP_PAYMENT_PROVIDER_SECRET needs 16 characters or more")
        try:
            key_of(secret)
        except ValueError:
            raise ValueError("SCRIP_PAYMENT_PROVIDER_SECRET after whsec_ must be base64") from None
        return self
