"""Files are kept, replaced, removed and listed alike in a folder and in a bucket of S3."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import SecretStr

from services.common.errors import DomainError
from services.common.storage import Storage, open_storage
from tests.waiting import eventually

_FUTURE = timedelta(seconds=-60)


@dataclass
class Settings:
    image_folder: str = "unused"
    image_s3_bucket: str = ""
    image_s3_endpoint: str = ""
    image_s3_region: str = "us-east-1"
    image_s3_key_id: str = "some-id"
    image_s3_secret: SecretStr = field(default_factory=lambda: SecretStr("some-secret"))


def s3() -> FastAPI:
    """Returns as much of S3 as a storage needs. It keeps what it is sent, and believes every signature."""
    app, kept = FastAPI(), dict[str, bytes]()

    @app.put("/images/{name}")
    async def put(name: str, request: Request) -> Response:
        assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=some-id/")
        kept[name] = await request.body()
        return Response(headers={"etag": '"1"'})

    @app.get("/images/{name}")
    async def get(name: str) -> Response:
        if name not in kept:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404)
        headers = {"etag": '"1"', "last-modified": f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S GMT}"}
        return Response(kept[name], headers=headers)

    @app.get("/images")
    async def names() -> Response:
        contents = "".join(
            f"<Contents><Key>{name}</Key><LastModified>{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
            f"</LastModified><ETag>1</ETag><Size>{len(data)}</Size></Contents>"
            for name, data in sorted(kept.items())
        )
        return Response(f"<ListBucketResult>{contents}</ListBucketResult>", media_type="application/xml")

    @app.post("/images")
    async def delete(request: Request) -> Response:
        deleted = [key.text or "" for key in Xml.fromstring(await request.body()).iter() if _is_key(key.tag)]
        for name in deleted:
            kept.pop(name, None)
        told = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in deleted)
        return Response(f"<DeleteResult>{told}</DeleteResult>", media_type="application/xml")

    return app


def _is_key(tag: str) -> bool:
    return tag.rpartition("}")[2] == "Key"


@pytest.fixture
async def endpoint() -> AsyncIterator[str]:
    """Where a server speaks as S3 does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(s3(), log_level="error", lifespan="off"))
        task = asyncio.create_task(server.serve([listening]))
        await eventually(lambda: _started(server))
        yield "http://{}:{}".format(*listening.getsockname())
        server.should_exit = True
        await task


async def _started(server: uvicorn.Server) -> None:
    assert server.started


async def _names(storage: Storage, age: timedelta) -> set[str]:
    return {name async for names in storage.older_than(age) for name in names}


async def _behaves(storage: Storage) -> None:
    assert await storage.get("a.full") is None
    assert await _names(storage, _FUTURE) == set()
    await storage.put("a.full", b"first")
    await storage.put("a.full", b"second")
    await storage.put("b-1.full", b"")
    assert await storage.get("a.full") == b"second"
    assert await storage.get("b-1.full") == b""
    assert await _names(storage, _FUTURE) == {"a.full", "b-1.full"}
    assert await _names(storage, timedelta(hours=1)) == set()
    await storage.delete(["a.full", "not-there"])
    await storage.delete([])
    assert await _names(storage, _FUTURE) == {"b-1.full"}


async def test_a_folder_keeps_files(tmp_path: Path) -> None:
    await _behaves(open_storage(Settings(image_folder=str(tmp_path / "not" / "there"))))


async def test_a_bucket_keeps_files(endpoint: str) -> None:
    await _behaves(open_storage(Settings(image_s3_bucket="images", image_s3_endpoint=endpoint)))


async def test_a_folder_that_is_none_is_away_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    storage = open_storage(Settings(image_folder=str(tmp_path / "file")))
    await _is_away(storage)


async def test_a_bucket_that_nobody_serves_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    await _is_away(open_storage(Settings(image_s3_bucket="images", image_s3_endpoint=endpoint)))


async def _is_away(storage: Storage) -> None:
    with pytest.raises(DomainError, match="DEPENDENCY_UNAVAILABLE"):
        await storage.put("a.full", b"1")
    with pytest.raises(DomainError, match="DEPENDENCY_UNAVAILABLE"):
        await storage.get("a.full")


async def test_a_file_that_can_not_be_finished_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(Settings(image_folder=str(tmp_path)))
    await storage.put("a.full", b"first")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DomainError, match="DEPENDENCY_UNAVAILABLE"):
        await storage.put("a.full", b"second")
    monkeypatch.undo()
    assert await storage.get("a.full") == b"first"
    assert await _names(storage, _FUTURE) == {"a.full"}, "nothing unfinished either"
