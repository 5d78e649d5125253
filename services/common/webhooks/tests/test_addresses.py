"""Webhooks go to the internet, and to no machine inside."""

from __future__ import annotations

import pytest

from services.common.webhooks.addresses import LONGEST_URL, is_allowed, may_connect, parse_networks, url_fault

LOOPBACK = parse_networks("127.0.0.0/8, ::1/128")

INSIDE = [
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "fec0::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1"),
    *("100::1", "5f00::1", "", "localhost", "1", "127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433"),
]
OUTSIDE = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_refused(address: str) -> None:
    assert not may_connect(address, ())


@pytest.mark.parametrize("address", OUTSIDE)
def test_addresses_of_the_internet_are_not(address: str) -> None:
    assert may_connect(address, ())


def test_operators_may_allow_networks_and_nothing_beside_them() -> None:
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert may_connect(address, LOOPBACK)
        assert is_allowed(address, LOOPBACK)
    for address in ("10.0.0.1", "169.254.169.254", "64:ff9b::7f00:1", "::2"):
        assert not may_connect(address, LOOPBACK)
    assert not is_allowed("8.8.8.8", LOOPBACK)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "x", "10.0.0.0/33", "10.0.0.0-10.1.0.0"])
def test_networks_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_networks(text)


GOOD_URLS = [
    "https://shop.example/hook",
    "https://shop.example",
    "https://shop.example:8443/a/b?token=x%20y&z=1",
    "https://shop.example:443/",
    "https://xn--mller-kva.example/",
    "https://8.8.8.8/hook",
    "https://[2606:4700:4700::1111]/hook",
    "https://shop.example./hook",
    "HTTPS://SHOP.EXAMPLE/hook",
    "https://shop.example/" + "x" * (LONGEST_URL - 21),
]
BAD_URLS = [
    *(
        "",
        "shop.example/hook",
        "//shop.example/",
        "https:",
        "https://",
        "https:///hook",
        "https:/a.example",
    ),
    *(
        "ftp://shop.example/",
        "file:///etc/passwd",
        "gopher://shop.example/",
        "javascript:1",
        "data:x",
    ),
    *(
        "http://shop.example/",
        "https://user@shop.example/",
        "https://user:pass@shop.example/",
        "https://@a.b/",
    ),
    *("https://shop.example/#fragment", "https://shop.example/#", "https://shop.example\\@10.0.0.1/"),
    *(
        "https://shop.example /",
        " https://shop.example/",
        "https://shop.example/\n",
        "https://shop.example/\t",
    ),
    *("https://sh\u00f6p.example/", "https://shop.example/\u2025", "https://shop.example/\0"),
    *("https://localhost/", "https://localhost./", "https://a.localhost/", "https://metadata.internal/"),
    *("https://intranet/", "https://printer.local/", "https://127.0.0.1/", "https://10.0.0.1/hook"),
    *("https://169.254.169.254/latest/meta-data", "https://[::1]/", "https://[::ffff:127.0.0.1]/"),
    *("https://[fe80::1%25eth0]/", "https://[::1", "https://2130706433/", "https://0x7f000001/"),
    *("https://127.1/", "https://0177.0.0.1/", "https://1.2.3.4.5/", "https://shop.example:22/"),
    *("https://shop.example:0/", "https://shop.example:65536/", "https://shop.example:x/", "https://a..b/"),
    *(
        "https://-a.example/",
        "https://" + "b" * 64 + ".example/",
        "https://shop.example/" + "x" * LONGEST_URL,
    ),
    *("https://shop.example:80/", "https://shop.example:1023/"),
    *("https://shop.example:-1/", "https://%31%30.0.0.1/", "https://shop_%2e.example/"),
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_urls_of_the_internet_are_taken(url: str) -> None:
    assert url_fault(url, ()) is None


@pytest.mark.parametrize("url", BAD_URLS)
def test_other_urls_are_refused_with_the_reason(url: str) -> None:
    fault = url_fault(url, ())
    assert fault
    assert fault.startswith(("must ", "is "))


def test_where_operators_allow_it_http_does() -> None:
    for url in (
        "http://127.0.0.1:8000/",
        "http://localhost:8000/hook",
        "http://[::1]:8000/",
        "http://127.0.0.1/",
        "http://127.0.0.1:80/",
        "https://127.0.0.1:443/",
    ):
        assert url_fault(url, LOOPBACK) is None
        assert url_fault(url, ())
    for url in ("http://10.0.0.1/", "http://shop.example/", "http://169.254.169.254/", "http://8.8.8.8/"):
        assert url_fault(url, LOOPBACK)
    for url in ("https://127.0.0.1:80/", "http://127.0.0.1:443/"):
        assert url_fault(url, LOOPBACK)
