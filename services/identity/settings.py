"""Settings of identity."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from services.common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Identity's own settings beside the shared ones."""

    master_key: SecretStr
    """Base64 of 32 random bytes, from which the keys for secrets at rest are derived."""
    service_secret_hashes: dict[str, str]
    """SHA-256 in hex of each other service's secret, by service name."""
    admin_user_name: str = "admin"
    """User name of the first admin, made when there is no staff yet."""
    admin_password: SecretStr = SecretStr("")
    """Password of the first admin."""
    sandbox: bool = False
    """Whether one-time passwords are kept for an admin to read instead of being sent."""
    default_region: Annotated[str, Field(pattern="^[A-Z]{2}$")] = "US"
    """ISO 3166 region of phone numbers that carry no country code."""
    access_token_seconds: Annotated[int, Field(ge=60, le=86_400)] = 86_400
    """Lifetime of the tokens of members and staff: one day by default, 1,800 for the strict policy."""
    client_token_seconds: Annotated[int, Field(ge=60, le=86_400)] = 3_600
    """Lifetime of the tokens of tills."""
    otp_sends_per_phone: int = 5
    """One-time passwords that one number may ask for in ten minutes."""
    otp_sends_per_address: int = 60
    """One-time passwords that one address may ask for in ten minutes; a shop may be one address."""
