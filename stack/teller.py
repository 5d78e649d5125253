"""Prints a story call by call: what is asked, what comes back, and whether it is as it should be."""

import io
import json
from collections.abc import Mapping
from typing import Any

import zxingcpp
from PIL import Image

from stack.rest import Answer, Rest

WIDTH = 110
SECRETS = ("access_token", "refresh_token", "client_secret", "password", "secret", "cvc")
OK = 200


class StoryError(Exception):
    """A step is not as it should be."""


class Teller:
    """Makes calls and prints what happens."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self.steps = 0

    def chapter(self, title: str) -> None:
        """Begins a part of the story."""
        print(f"\n{title}\n{'=' * len(title)}")

    async def call(
        self,
        meaning: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str = "",
        key: str = "",
        form: Mapping[str, str] | None = None,
        png: bytes | None = None,
        status: int = OK,
        reason: str = "",
    ) -> Answer:
        """Makes a call, prints it with its response and what it means, and checks status and reason."""
        self.steps += 1
        print(f"\n{self.steps}. {meaning}\n   {method} {path}{f'  Idempotency-Key: {key}' if key else ''}")
        if body or form:
            print(f"   > {_short(body or form)}")
        if png:
            print(f"   > {len(png)} bytes of image/png")
        answer = await self._rest.call(method, path, body, token=token, key=key, form=form, png=png)
        text = f"{len(answer.content)} bytes of {answer.content_type}"
        if "json" in answer.content_type:
            text = _short(answer.json)
        print(f"   < {answer.status} {text}")
        check(answer.status == status, f"expected status {status}, got {answer.status}: {answer.content!r}")
        if reason:
            check(answer.reason == reason, f"expected the reason {reason}, got {answer.reason}")
        return answer

    async def scan(self, meaning: str, path: str, token: str) -> str:
        """Returns what a scanner reads from a QR image."""
        image = await self.call(meaning, "GET", path, token=token)
        code: str = zxingcpp.read_barcodes(Image.open(io.BytesIO(image.content)))[0].text
        print(f"   ... and the scanner reads {code}.")
        return code


def check(holds: bool, otherwise: str) -> None:
    """Ends the story when something does not hold."""
    if not holds:
        raise StoryError(otherwise)


def _short(value: Any) -> str:
    """Returns one line of JSON, without secrets."""
    text = json.dumps(_without_secrets(value), ensure_ascii=False)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: "…" if key in SECRETS and isinstance(inner, str) else _without_secrets(inner)
            for key, inner in value.items()
        }
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value
