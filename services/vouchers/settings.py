"""Settings of vouchers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from services.common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Vouchers' own settings beside the shared ones."""

    order_wait_seconds: Annotated[float, Field(gt=0, le=8)] = 5.0
    """How long PlaceOrder waits for an order to finish before it returns it as pending."""
    order_lease_seconds: Annotated[int, Field(ge=2, le=60)] = 10
    """How long the process that works on an order has it for itself; then the sweep takes over."""
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
    max_watchers: Annotated[int, Field(ge=1)] = 500
    """Live quantity streams per process."""
