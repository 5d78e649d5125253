"""Settings of identity."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from phonenumbers import SUPPORTED_REGIONS
from pydantic import Field, SecretStr, model_validator

from services.identity.messages.settings import MessageSettings

MEMORY_KIB = 65_536


class Settings(MessageSettings):
    """Identity's own settings beside the shared ones and those about messages to people."""

    master_key: SecretStr
    """Base64 of 32 random bytes, from which the keys for secrets at rest are derived."""
    service_secret_hashes: dict[str, str]
    """SHA-256 in hex of each other service's secret, by service name."""
    admin_user_name: str = "admin"
    """User name of the first admin, made when there is no staff yet."""
    admin_password: SecretStr = SecretStr("")
    """Password of the first admin."""
    default_region: Annotated[str, Field(pattern="^[A-Z]{2}$")] = "US"
    """ISO 3166 region of phone numbers that carry no country code."""
    token_policy: Literal["standard", "bank"] = "standard"  # noqa: S105  # a name
    """How long tokens of people live: one day and 90 days of refreshing, or 30 minutes and 12 hours."""
    access_token_seconds: Annotated[int, Field(ge=5, le=86_400)] | None = None
    """Another lifetime of access tokens than the policy's."""
    refresh_token_seconds: Annotated[int, Field(ge=60, le=31_536_000)] | None = None
    """Another lifetime of logins than the policy's, however often they are refreshed."""
    cookie_secure: bool = True
    """Whether browsers may send the cookie with the refresh token over TLS alone. Off where there is none."""
    staff_sessions: Annotated[int, Field(ge=1, le=10)] = 1
    """Logins that staff may have at once. Members have one."""
    registrations_per_address: Annotated[int, Field(ge=1)] = 60
    """Members who may register from one network address in ten minutes; a shop may be one."""
    look_ups_per_caller: Annotated[int, Field(ge=1)] = 600
    """Members whom one till, or one cashier, may look up in ten minutes; a store server may be many tills."""
    look_ups_per_address: Annotated[int, Field(ge=1)] = 3_000
    """Members who may be looked up from one network address in ten minutes; a shop may be one."""
    password_memory_kib: Annotated[int, Field(ge=19_456, le=1_048_576)] = MEMORY_KIB
    """Memory that the hash of a password takes, and time with it; not below what OWASP holds for enough.

    A password that was hashed with another setting is hashed anew when its owner logs in by it.
    """
    key_rotation_days: Annotated[float, Field(gt=0, le=365)] = 30
    """After so long a new key signs tokens."""
    key_lead_seconds: Annotated[int, Field(ge=0, le=86_400)] = 180
    """How long a new key is published before it signs: more than twice what the edge keeps keys for."""
    client_token_seconds: Annotated[int, Field(ge=60, le=86_400)] = 3_600
    """Lifetime of the tokens of tills."""

    @property
    def regions(self) -> frozenset[str]:
        """Regions whose phone numbers get one-time passwords; none for all."""
        return frozenset(filter(None, self.phone_regions.split(",")))

    @model_validator(mode="after")
    def _regions_exist(self) -> Self:
        for region in self.regions | {self.default_region}:
            if region not in SUPPORTED_REGIONS:
                raise ValueError(f"{region} in SCRIP_DEFAULT_REGION or SCRIP_PHONE_REGIONS is no region")
        return self

    @property
    def access_seconds(self) -> int:
        """Lifetime of access tokens of members and staff."""
        return self.access_token_seconds or {"standard": 86_400, "bank": 1_800}[self.token_policy]

    @property
    def refresh_seconds(self) -> int:
        """How long a login can be refreshed in all."""
        return self.refresh_token_seconds or {"standard": 90 * 86_400, "bank": 12 * 3_600}[self.token_policy]
