"""A Redis that tests start and stop while the services run."""

from __future__ import annotations

from stack.redis import Redis


class SpareRedis(Redis):
    """A server without a death signal: to ask for one takes a fork, which gRPC's threads make unsafe.

    Now and then such a child crashes in gRPC's fork handlers before it becomes Redis.
    """

    def before_exec(self) -> None:  # type: ignore[override]  # nothing to run is fine with Popen
        """Nothing runs between fork and exec."""
