"""Who the platform posts to: a provider of SMS, and the computer of a brand."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.platform import eventually
from tests.receiver import Post

DELIVERED_SECONDS = 20.0
WEBHOOK_SECRET = "known to provider and shop"


class PostServer:
    """Takes what is posted, on a loopback port of its own and in a thread: also while the test waits."""

    def __init__(self) -> None:
        self.takes = True
        """Whether posts are taken; else they are refused with 503."""
        self.refused = 0
        self.posts: list[Post] = []
        """What was taken."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}/posts"

    async def wait_refused(self) -> None:
        """Waits until something was refused."""

        async def refused() -> None:
            assert self.refused, "nothing was refused"

        await eventually(refused, DELIVERED_SECONDS)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                post = Post(self.path, headers, self.rfile.read(int(headers["content-length"])))
                if server.takes:
                    server.posts.append(post)
                else:
                    server.refused += 1
                self.send_response(204 if server.takes else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Logs nothing."""

        return Handler


class SmsProvider(PostServer):
    """Takes the messages that identity posts."""

    @property
    def settings(self) -> dict[str, str]:
        """With which identity sends to this provider."""
        return {
            "SCRIP_OTP_SENDER": "webhook",
            "SCRIP_OTP_WEBHOOK_URL": self.url,
            "SCRIP_OTP_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }

    async def code(self, otp_id: str) -> str:
        """Returns the code of a one-time password, as soon as it has arrived."""

        async def arrived() -> str:
            texts = [json.loads(post.body)["text"] for post in self.posts if post.id == otp_id]
            found = re.search(r"\b\d{6}\b", texts[0]) if texts else None
            assert found, f"{otp_id} was not sent"
            return found.group()

        return await eventually(arrived, DELIVERED_SECONDS)


class BrandReceiver(PostServer):
    """Takes what a brand's webhook is told."""

    async def told(self, event_id: str) -> Post:
        """Returns what was posted of an event, as soon as it has arrived."""

        async def arrived() -> Post:
            found = [post for post in self.posts if post.id == event_id]
            assert found, f"{event_id} was not delivered"
            return found[0]

        return await eventually(arrived, DELIVERED_SECONDS)
