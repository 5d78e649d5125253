"""A platform that was upgraded, and what its callers compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.platform import Member
from tests.upgrades.dumps import Dump
from tests.upgrades.posted import BrandReceiver
from tests.upgrades.retailer import Retailer

REST_SECONDS = 60.0
WITH_THE_CLOCK = frozenset({"claim_until", "made_per_second", "seconds_left", "places_left"})
"""What is moved along when a dump is restored, or changes by itself."""
RENAMED = {"reference": "adjustment_id"}
"""Fields of older responses that have another name since."""


@dataclass(frozen=True)
class Upgraded:
    """A dump whose platform runs again, as this version."""

    dump: Dump
    live: Retailer
    seen: Mapping[str, Mapping[str, Any]]
    """Balance and debt of everybody, when all that was under way had come to its end."""
    tokens: Mapping[str, str]
    """Of the till, the admin, and each member who may log in."""
    reads: Mapping[str, Any]
    """What the admin reads where the dump has what it was, by path."""
    receiver: BrandReceiver
    """Where the brand's webhook is sent to."""

    def person(self, name: str) -> Any:
        """Returns what is known of a member."""
        return self.dump.content["people"][name]

    @property
    def known(self) -> Any:
        """Ids and codes, by what they are."""
        return self.dump.content["known"]

    def member(self, name: str) -> Member:
        """Returns a member, with its new token when it may log in."""
        who, token = self.person(name), self.tokens.get(name, "")
        return Member(who["id"], who["code"], token, who["phone"], who["refresh_token"])


async def points(dump: Dump, live: Retailer) -> dict[str, dict[str, Any]]:
    """Balance and debt of everybody."""
    return {name: await live.points_of(who["id"]) for name, who in dump.content["people"].items()}


def without_clock(value: Any) -> Any:
    """Returns a response without what time changes, by its present names."""
    if isinstance(value, dict):
        return {
            RENAMED.get(name, name): without_clock(one)
            for name, one in value.items()
            if name not in WITH_THE_CLOCK
        }
    return [without_clock(one) for one in value] if isinstance(value, list) else value


def missing(old: Any, new: Any, path: str = "") -> list[str]:
    """Returns where a new response lacks what the old one had. It may have more."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [at for name, one in old.items() for at in missing(one, new.get(name), f"{path}.{name}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [at for nth, one in enumerate(old) for at in missing(one, new[nth], f"{path}[{nth}]")]
    return [] if old == new else [f"{path}: {old!r} became {new!r}"]
