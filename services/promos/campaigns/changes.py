"""What an update changes of a campaign."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from services.promos.campaigns.queries import CampaignRow

T = TypeVar("T")

_AUDITED = (
    "name",
    "description",
    "places",
    "starts_at",
    "ends_at",
    "rewards_expire_at",
    "rewards_valid_days",
    "includes_members_without_phone",
)


@dataclass(frozen=True)
class CampaignChanges:
    """What shall be otherwise: None stays as it is, what is named in `clear` is emptied."""

    name: str | None = None
    description: str | None = None
    places: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    rewards_expire_at: datetime | None = None
    rewards_valid_days: int | None = None
    includes_members_without_phone: bool | None = None
    clear: Collection[str] = ()

    def applied_to(self, row: CampaignRow) -> CampaignRow:
        """Returns the campaign as it shall be."""
        includes = self.includes_members_without_phone
        return replace(
            row,
            name=self.name or row.name,
            description=self._emptied("description", self.description or row.description) or "",
            places=self.places or row.places,
            starts_at=self.starts_at or row.starts_at,
            ends_at=self._emptied("ends_at", self.ends_at or row.ends_at),
            rewards_expire_at=self._emptied(
                "rewards_expire_at", self.rewards_expire_at or row.rewards_expire_at
            ),
            rewards_valid_days=self._emptied(
                "rewards_valid_days", self.rewards_valid_days or row.rewards_valid_days
            ),
            includes_members_without_phone=row.includes_members_without_phone
            if includes is None
            else includes,
        )

    def _emptied(self, name: str, value: T) -> T | None:
        return None if name in self.clear else value


def differences(before: CampaignRow, after: CampaignRow) -> dict[str, object]:
    """Returns what an audit entry tells of a change: of each field what it was and what it is."""
    both = {field: [getattr(before, field), getattr(after, field)] for field in _AUDITED}
    return {field: [was, now] for field, (was, now) in both.items() if was != now}
