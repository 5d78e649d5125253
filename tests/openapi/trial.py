"""Calls that schemathesis makes up from the document, and what it says of the responses."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from stack.testing import RunningStack
from tests.openapi.callers import Callers
from tests.openapi.known import Known

CALL_SECONDS = 30
# The others do not fit: a method that a path does not have is 404 here and not 405, a field that no message
# has is ignored, texts are taken for numbers, and rules between fields refuse what fits the schemas.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_BAD, _LIKE_THE_EXAMPLE = 0.2, 0.5
_ENDED = {"SESSION_ENDED", "SESSION_REPLACED", "ACCOUNT_SUSPENDED", "ACCOUNT_CLOSED"}


@dataclass
class Outcome:
    """What came of a trial."""

    calls: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    succeeded: set[str] = field(default_factory=set)
    """The operations that took at least one call."""
    failures: dict[str, str] = field(default_factory=dict)
    """What is wrong, once for each operation and kind, with how to do it again."""


class Trial:
    """Makes up calls for every operation of a document, again and again."""

    def __init__(self, document: dict[str, Any], stack: RunningStack, number: int) -> None:
        self._url = stack.endpoints.edge_url
        self._callers = Callers(stack)
        self._draw = random.Random(number)
        self._known = Known(self._draw, self._callers.first_admin_id())
        self._session = requests.Session()
        self.outcome = Outcome()
        schema = schemathesis.openapi.from_dict(document)
        found: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
        # Reading first: it tells what there is.
        self.operations = sorted(found, key=lambda operation: operation.method != "get")

    def close(self) -> None:
        """Ends the connections."""
        self._callers.close()
        self._session.close()

    def run(self, calls: int) -> Outcome:
        """Makes so many calls in all, and about as many to each operation; returns what came of them."""
        rounds = 0
        while self.outcome.calls < calls:
            share = max(1, min(5, (calls - self.outcome.calls) // len(self.operations)))
            for operation in self.operations:
                self._try(operation, share if rounds else 1)
                if self.outcome.calls >= calls:
                    break
            rounds += 1
        return self.outcome

    def _try(self, operation: Any, count: int) -> None:
        if self._draw.random() < _BAD:
            with suppress(Unsatisfiable):  # for what takes nothing, nothing is bad
                self._make_up(operation, count, bad=True)
                return
        self._make_up(operation, count, bad=False)

    def _make_up(self, operation: Any, count: int, *, bad: bool) -> None:
        mode = GenerationMode.NEGATIVE if bad else GenerationMode.POSITIVE

        @seed(self._draw.getrandbits(32))
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode))
        def call(case: Any) -> None:
            self._call(case, bad=bad)

        call()

    def _call(self, case: Any, *, bad: bool) -> None:
        if not bad:
            self._make_likely(case)
        role = self._role(case)
        headers = {"authorization": f"Bearer {self._callers.token(role)}"} if role else {}
        response = case.call(self._url, session=self._session, headers=headers, timeout=CALL_SECONDS)
        self.outcome.calls += 1
        self.outcome.statuses[response.status_code] += 1
        content = _json(response)
        if response.status_code == 200:
            self.outcome.succeeded.add(case.operation.label)
            self._known.learn(content)
        elif role and _reason(content) in _ENDED:
            self._callers.forget(role)
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                key = f"{case.operation.label}: {response.status_code}: {type(failure).__name__}"
                said = f"{failure}\n{case.as_curl_command()}\n{response.text[:500]}"
                self.outcome.failures.setdefault(key, said)

    def _make_likely(self, case: Any) -> None:
        """Puts what Scrip knows into a call. A stream that were found would not end."""
        if "text/event-stream" in str(case.operation.definition.raw["responses"]["200"].get("content")):
            return
        case.path_parameters = {
            name: self._known.value(name, value) for name, value in (case.path_parameters or {}).items()
        }
        case.query = self._known.put_into(case.query or {})
        if (example := _example(case)) is not None and self._draw.random() < _LIKE_THE_EXAMPLE:
            case.body = example
        case.body = self._known.put_into(case.body)

    def _role(self, case: Any) -> str:
        """Returns one of the roles that may call, at times another, or an empty text for no token."""
        allowed = list(_roles(case.operation.definition.raw["security"]))
        return self._draw.choice(allowed) if allowed else ""


def _roles(security: list[dict[str, list[str]]]) -> Iterator[str]:
    for requirement in security:
        for scheme, roles in requirement.items():
            if scheme in {"member", "till"}:
                yield scheme
            elif scheme == "staff":
                yield from roles


def _example(case: Any) -> Any:
    """Returns the document's example of a body, of which made-up calls may change nothing."""
    taken = case.operation.definition.raw.get("requestBody", {}).get("content", {})
    return deepcopy(taken.get("application/json", {}).get("example"))


def _json(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _reason(content: Any) -> str:
    details = content.get("details") if isinstance(content, dict) else None
    return str(details[0].get("reason")) if details else ""
