"""Where webhooks may be sent: to the internet, and to no machine of the operator's own networks.

Whoever names an address is not trusted. Otherwise a webhook could be used to reach databases, consoles and
metadata services of clouds that only the inside can reach.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network

LONGEST_URL = 2_000
_FIRST_FREE_PORT = 1_024
"""Below it are the ports of mail servers and the like; of those only the scheme's own is allowed."""
OWN_PORT = {"https": 443, "http": 80}
"""The port of a URL that names none."""
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_WITH_IPV4_INSIDE = tuple(map(IPv6Network, ("2001::/32", "2002::/16", "64:ff9b::/96", "64:ff9b:1::/48")))
"""Teredo, 6to4 and NAT64: a relay would pass on to the IPv4 address in it, whatever that is."""
_SPECIAL = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
"""Protocol assignments, and relays of 6to4; not all versions of Python know them."""


def parse_networks(text: str) -> tuple[Network, ...]:
    """Returns networks that are written with commas between them. Raises ValueError."""
    parts = filter(None, (part.strip() for part in text.split(",")))
    return tuple(map(ip_network, parts))


def is_allowed(address: str, allowed: Sequence[Network]) -> bool:
    """Returns whether an IP address is one of the networks that operators allow."""
    try:
        ip = _unwrapped(address)
    except ValueError:
        return False
    return any(ip in network for network in allowed if network.version == ip.version)


def may_connect(address: str, allowed: Sequence[Network]) -> bool:
    """Returns whether webhooks may be sent to an IP address: one of the internet, or an allowed one."""
    if is_allowed(address, allowed):
        return True
    try:
        ip = _unwrapped(address)
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _SPECIAL)
    return ip in _GLOBAL_UNICAST and not any(ip in network for network in _WITH_IPV4_INSIDE)


def _unwrapped(address: str) -> IPv4Address | IPv6Address:
    """Returns the address; of one of IPv4 in IPv6's form that of IPv4. Raises ValueError, also for zones."""
    if "%" in address:
        raise ValueError(address)
    ip = ip_address(address)
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def url_fault(url: str, allowed: Sequence[Network]) -> str | None:  # noqa: PLR0911  # a fault each
    """Returns what is wrong with a URL for webhooks, for its author, or None.

    What the name in it stands for is not asked here, for it may be another address when something is sent:
    the sender asks each time.
    """
    if len(url) > LONGEST_URL:
        return f"must have at most {LONGEST_URL} characters"
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "must be written in ASCII without blanks and backslashes; write other characters encoded"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if "@" in parts.netloc or "#" in url:
        return "must have neither a user name or password nor a fragment"
    host = parts.hostname or ""
    if port is not None and port != OWN_PORT.get(parts.scheme) and port < _FIRST_FREE_PORT:
        return "must have port 443, or one from 1024 on"
    inside = is_allowed(host, allowed) or (host == "localhost" and bool(allowed))
    if parts.scheme != "https" and not (parts.scheme == "http" and inside):
        return "must begin with https://"
    return None if inside else _host_fault(host)


def _host_fault(host: str) -> str | None:
    """Returns what is wrong with the name or address of a machine that is not in an allowed network."""
    try:
        ip_address(host)
    except ValueError:
        labels = host.rstrip(".").lower().split(".")
        if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
            return "must name a host"
        # A last label that begins with a digit makes the whole an old form of an IPv4 address.
        inner = len(labels) < 2 or labels[-1] in ("localhost", "local", "internal") or labels[-1][0].isdigit()
    else:
        inner = not may_connect(host, ())
    return "must name a machine on the internet" if inner else None
