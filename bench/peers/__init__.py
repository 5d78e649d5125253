"""The same jobs done the usual way: FastAPI, pydantic and the ORM of SQLAlchemy on asyncpg.

Written as a careful developer would, over tables made by the migrations of Scrip's own services: one
transaction for each request, row locks where two could collide, unique keys where one could come twice.
It has no edge before it, no second service behind it and no cache.
"""
