"""URLs that secrets may travel to."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_safe_url(url: str) -> bool:
    """Returns whether a URL is one of https, without credentials; http is for loopback alone."""
    try:
        parsed = urlsplit(url)
        host, _ = parsed.hostname, parsed.port
    except ValueError:
        return False
    if not host or parsed.username is not None:
        return False
    return parsed.scheme == "https" or (parsed.scheme == "http" and host in _LOOPBACK)
