"""The OpenAPI document at /openapi.json, and its viewer at /docs, which loads nothing from elsewhere."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from stack.envoy import DOCS
from tests.edge.edge import Edge

LINK = re.compile(r'(?:src|href)="([^"]+)"')
PLAIN = {"accept-encoding": "identity"}


@pytest.mark.covers("E1")
async def test_the_document_is_served_compressed_and_plain(edge: Edge) -> None:
    written = (DOCS / "openapi.json").read_bytes()
    for headers in ({"accept-encoding": "br, gzip"}, PLAIN):
        response = await edge.http.get("/openapi.json", headers=headers)
        assert response.status_code == 200
        assert response.content == written
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "public, max-age=300"
        assert "accept-encoding" in response.headers["vary"]
        assert response.headers.get("content-encoding") == ("gzip" if "gzip" in str(headers) else None)
    assert json.loads(written)["openapi"].startswith("3.1")


async def test_the_viewer_loads_only_what_the_edge_serves(edge: Edge) -> None:
    page = await edge.http.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|unsafe-eval", policy)
    links = [link for link in LINK.findall(page.text) if not link.startswith("data:")]
    assert "/docs/viewer.js" in links
    for link in links:
        for headers in ({"accept-encoding": "gzip"}, PLAIN):
            response = await edge.http.get(link, headers=headers)
            assert response.status_code == 200, link
            assert response.content == (DOCS / link.rpartition("/")[2]).read_bytes()
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["cache-control"].startswith("public")


@pytest.mark.parametrize(("method", "path"), [("POST", "/openapi.json"), ("GET", "/docs/package.json")])
async def test_nothing_else_is_served(edge: Edge, method: str, path: str) -> None:
    response: httpx.Response = await edge.http.request(method, path)
    assert response.status_code == 404
    assert response.json()["details"][0]["reason"] == "ROUTE_NOT_FOUND"


async def test_reading_without_the_body_is_possible(edge: Edge) -> None:
    response = await edge.http.head("/openapi.json", headers=PLAIN)
    assert response.status_code == 200
    assert int(response.headers["content-length"]) == (DOCS / "openapi.json").stat().st_size
    assert response.content == b""
