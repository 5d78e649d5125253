"""The application: its database, its keys, its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import jwt
from fastapi import FastAPI
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from bench.peers import orders, points, purchases, redemptions

SCHEMAS = ("points", "vouchers", "promos")
"""Where each service's tables are in the one database."""
POOL_SIZE = 20  # tried: with 10 or 40 it does about the same


def create_app(database_url: str, jwks_url: str) -> FastAPI:
    """Returns the application on this database."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = open_database(database_url)
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        async with httpx.AsyncClient() as client:
            published = (await client.get(jwks_url)).raise_for_status().json()
        app.state.keys = {key["kid"]: jwt.PyJWK(key) for key in published["keys"]}
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    for module in (purchases, points, orders, redemptions):
        app.include_router(module.router)
    return app


def open_database(url: str) -> AsyncEngine:
    """Returns the database by its libpq URL, with the tables of all three services in sight."""
    parts = make_url(url)
    return create_async_engine(
        "postgresql+asyncpg://",
        pool_size=POOL_SIZE,
        max_overflow=0,
        connect_args={
            "user": parts.username,
            "password": parts.password,
            "database": parts.database,
            "host": parts.host or parts.query["host"],
            "port": int(str(parts.port or parts.query["port"])),
            "server_settings": {"search_path": ", ".join(SCHEMAS)},
        },
    )
