"""Settings of promos."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from services.common.settings import ServiceSettings
from services.common.webhooks.addresses import Network, parse_networks


def _networks(text: str) -> str:
    parse_networks(text)
    return text


class Settings(ServiceSettings):
    """Promos' own settings beside the shared ones."""

    wrong_codes_per_minute: Annotated[int, Field(ge=1)] = 30
    """Codes that a member may guess wrongly in a minute before it must wait."""
    wrong_codes_per_till: Annotated[int, Field(ge=1)] = 60
    """Codes that are not valid which one till, or one of the staff, may bring in a minute."""
    redemption_cancel_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """For how many days a redemption can be cancelled."""
    max_watchers: Annotated[int, Field(ge=1)] = 2_500
    """Live streams per process."""
    webhook_key: SecretStr
    """Base64 of 32 random bytes, under which the secrets of webhooks are encrypted."""
    webhook_allowed_networks: Annotated[str, AfterValidator(_networks)] = ""
    """Networks inside that webhooks may be sent to, by http too, such as `127.0.0.0/8,10.1.0.0/16`."""

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """These networks."""
        return parse_networks(self.webhook_allowed_networks)
