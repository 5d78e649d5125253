"""The earn rules that hold now, kept in memory, and those that judged older purchases."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from services.common.db import Database
from services.common.errors import unavailable
from services.common.housekeeping import repeat
from services.points.earning import queries
from services.points.earning.applied import AppliedRules, JudgedPurchase
from services.points.earning.commands import publish_rules
from services.points.earning.kinds import Rate
from services.points.earning.rule_sets import RuleSet

_REFRESH_SECONDS = 1.0
_REMEMBERED = 50_000
"""Rules and categories of older sets: some 15 MB."""


class RuleBook:
    """Rule sets by their number. A change of the rules is known here within about a second.

    `default` is the programme's own rate, which holds when no rule sets another. Of processes with
    other rates the one that started last decides, for all of them.
    """

    def __init__(self, db: Database, default: Rate) -> None:
        self._db = db
        self._default = default
        self._current: RuleSet | None = None
        self._known: OrderedDict[int, RuleSet] = OrderedDict()
        self._remembered = 0

    async def known(self) -> bool:
        """Returns whether the rules that hold now are known."""
        return self._current is not None

    @property
    def current(self) -> RuleSet:
        """The rules that hold now. Raises DEPENDENCY_UNAVAILABLE before they were read."""
        if self._current is None:
            raise unavailable("earn_rules")
        return self._current

    async def get(self, set_id: int) -> RuleSet:
        """Returns a set of rules that some purchase was judged by."""
        return (await self._all([set_id]))[set_id]

    async def applied(self, purchases: Sequence[JudgedPurchase]) -> list[AppliedRules]:
        """Returns the rules that held for each of some purchases."""
        current = self._current
        if current and all(purchase.rule_set_id == current.id for purchase in purchases):
            return [current.applied(purchase) for purchase in purchases]
        sets = await self._all({purchase.rule_set_id for purchase in purchases})
        return [sets[purchase.rule_set_id].applied(purchase) for purchase in purchases]

    async def newest(self) -> RuleSet:
        """Returns the rules as they stand in the database at this moment, for trying a change at once."""
        return RuleSet(0, self.current.default, await self._db.read(queries.enabled_rules))

    async def refresh(self) -> None:
        """Reads the newest set, and publishes one when the programme's own rate is another than in it."""
        newest = await self._db.read(queries.newest_rule_set_id)
        if self._current is None or newest != self._current.id:
            found = await self._db.read(queries.get_rule_set, newest) if newest else None
            if self._current is None and (found is None or found.default != self._default):
                found = await self._db.run(publish_rules, self._default)
            if found:
                self._current = found

    async def keep_fresh(self) -> None:
        """Reads the rules again and again. Runs until cancelled.

        While the newest set can not be read, the one before it goes on judging.
        """
        await repeat(_REFRESH_SECONDS, self.refresh, name="reading the earn rules")

    async def _all(self, set_ids: Iterable[int]) -> dict[int, RuleSet]:
        """Returns sets by their numbers; those that are not in memory are read together."""
        found: dict[int, RuleSet] = {}
        missing: list[int] = []
        for set_id in set_ids:
            if self._current and set_id == self._current.id:
                found[set_id] = self._current
            elif set_id in self._known:
                self._known.move_to_end(set_id)
                found[set_id] = self._known[set_id]
            else:
                missing.append(set_id)
        if missing:
            for one in await self._db.read(queries.get_rule_sets, missing):
                self._remember(one)
                found[one.id] = one
        return found

    def _remember(self, found: RuleSet) -> None:
        """Keeps a set, and forgets those that were not asked for the longest when they take too much."""
        if found.id in self._known:  # by two at once
            return
        self._known[found.id] = found
        self._remembered += found.size
        while self._remembered > _REMEMBERED and len(self._known) > 1:
            _, forgotten = self._known.popitem(last=False)
            self._remembered -= forgotten.size
