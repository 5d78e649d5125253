"""What every service reads from its environment."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.common.currencies import is_currency


class ServiceSettings(BaseSettings):
    """Settings shared by all services; each variable is named `SCRIP_` plus the field in capitals.

    A variable that is empty counts as not given: that is how compose hands on what nobody set.
    """

    model_config = SettingsConfigDict(env_prefix="SCRIP_", env_ignore_empty=True, frozen=True, extra="ignore")

    database_url: str
    """libpq URL of the service's own database."""
    database_pool_size: int = 10
    """Connections per process; a call waits at most 5 s for one."""
    redis_url: str
    """URL of Redis, which is a gate and a cache and never the truth."""
    redis_seconds: Annotated[float, Field(gt=0, le=1)] = 0.05
    """How long a call of Redis may take. More than 0.1 endangers the second within which logins end."""
    listen: str = "127.0.0.1:50051"
    """Address of the gRPC server."""
    identity_target: str
    """gRPC target of identity; likewise the three below."""
    points_target: str
    vouchers_target: str
    promos_target: str
    service_secret: SecretStr = SecretStr("")
    """The service's own secret, exchanged at identity for a service token."""
    programme_name: Annotated[str, Field(min_length=1, max_length=100)] = "Scrip"
    """What the programme is called."""
    currency: Annotated[str, AfterValidator(is_currency)] = "USD"
    """ISO 4217 code of the programme's only currency: of receipts, vouchers and campaigns."""
    time_zone: ZoneInfo = ZoneInfo("UTC")
    """The programme's time zone, such as `Europe/Berlin`: its days end at midnight there."""
    phone_regions: Annotated[str, Field(pattern="^([A-Z]{2}(,[A-Z]{2})*)?$")] = ""
    """ISO 3166 regions whose phone numbers get one-time passwords, such as `US,CA`; empty for all."""
    consent_wording: Annotated[str, Field(min_length=1, max_length=2_000)] = (
        "I agree that my name and my contact data are shared with the brands of this programme."
    )
    """What members agree to when they share their contact data, in words that apps show."""
    consent_version: Annotated[str, Field(min_length=1, max_length=64)] = "1"
    """The version of these words, which is kept with each consent."""
    reflection: bool = False
    """Whether gRPC reflection is served. Off in production."""
    log_level: str = "INFO"
    drain_seconds: float = 6.0
    """How long a stopping process lets calls and tasks in flight finish."""
