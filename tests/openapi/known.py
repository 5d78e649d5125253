"""What earlier responses held, for later calls: without it all that is made up would be unknown to Scrip."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

_NAMES = {"claim_code", "code", "member_code", "receipt_number", "refund_number", "sale_reference"}
_KEPT = 30
_MOSTLY = 0.8


class Known:
    """Values by the name of the field that takes them, all but `unheard`; `draw` chooses among them."""

    def __init__(self, draw: random.Random, unheard: str) -> None:
        self._draw = draw
        self._unheard = unheard
        self._values: dict[str, list[str]] = defaultdict(list)

    def learn(self, content: Any, owner: str = "") -> None:
        """Keeps ids, codes and numbers of a response; an id is called by what it is the id of."""
        if isinstance(content, list):
            for each in content:
                self.learn(each, _singular(owner))
        elif isinstance(content, dict):
            for name, value in content.items():
                if isinstance(value, str) and value and _names_something(name):
                    self._keep(f"{owner}_id" if name == "id" else name, value)
                else:
                    self.learn(value, name)

    def put_into(self, content: Any) -> Any:
        """Returns the content of a request with known values in most of the fields that take such."""
        if isinstance(content, list):
            return [self.put_into(each) for each in content]
        if not isinstance(content, dict):
            return content
        return {name: self.value(name, value) for name, value in content.items() if not self._is_old(name)}

    def value(self, name: str, otherwise: Any) -> Any:
        """Returns a value for a field."""
        if self._draw.random() > _MOSTLY:
            return otherwise
        if name == "currency_code":
            return "USD"
        if name in {"sold_at", "refunded_at"}:
            return datetime.now(UTC).isoformat()
        if self._values.get(name) and isinstance(otherwise, str):
            return self._draw.choice(self._values[name])
        return self.put_into(otherwise)

    def _is_old(self, name: str) -> bool:
        """An etag that is made up only says that somebody was faster."""
        return name == "etag" and self._draw.random() < _MOSTLY

    def _keep(self, name: str, value: str) -> None:
        values = self._values[name]
        if value not in values and value != self._unheard:
            values.append(value)
            del values[:-_KEPT]


def _names_something(name: str) -> bool:
    return name == "id" or name.endswith("_id") or name in _NAMES


def _singular(name: str) -> str:
    return f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")
