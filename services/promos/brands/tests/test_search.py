"""Finding stores: which are found by which words, which come first, and how far they are."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from scrip.promos.v1 import store_pb2

from services.common.ids import new_id
from services.promos.brands.geography import EARTH_METERS
from services.promos.tests.brands_help import Brands
from tests.inprocess import reason, refused_status

STORES = {
    "The Corner Bakery": ("Old Mill Lane 5", "Bristol", "BS1 4DJ", "GB"),
    "Bakery": ("High Street 12", "Bath", "BA1 5AB", "GB"),
    "Bakersfield Books": ("Station Road 1", "Leeds", "LS1 4DY", "GB"),
    "Müller": ("Königsallee 30", "Düsseldorf", "40212", "DE"),
    "Miller & Daughters": ("Bakery Row 3", "York", "YO1 7HH", "GB"),
    "Café Crème": ("Rue de la Paix 8", "Besançon", "25000", "FR"),
    "Smørrebrød": ("Nørregade 2", "København", "1165", "DK"),
    "Konditorei am Schloss": ("Schlossplatz 1", "Münster", "48143", "DE"),
    "東京駅前店": ("丸の内1-9-1", "東京", "100-0005", "JP"),
}


@pytest.fixture(scope="module")
async def category(request: pytest.FixtureRequest) -> str:
    return f"Category {new_id()}"


@pytest.fixture
async def brand_id(brands: Brands, category: str) -> str:
    """A published brand whose stores are the sample, once for all tests of this file."""
    return await _sample(brands, category)


_made: dict[str, str] = {}


async def _sample(brands: Brands, category: str) -> str:
    if category not in _made:
        brand = await brands.published(name="Crumb Company", category=category)
        for name, (line, city, postal_code, country) in STORES.items():
            address = store_pb2.Address(line=line, city=city, postal_code=postal_code, country=country)
            await brands.store(brand.brand.id, name, address=address)
        _made[category] = brand.brand.id
    return _made[category]


@pytest.mark.covers("C6 StoreService.ListStores")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        # What is called so, then what has the words in its name, then what has a word that begins so.
        ("bakery", ["Bakery", "The Corner Bakery", "Miller & Daughters"]),
        ("the corner bakery", ["The Corner Bakery"]),
        # As somebody types.
        ("b", ["Bakersfield Books", "Bakery", "Café Crème", "Miller & Daughters", "The Corner Bakery"]),
        ("bak", ["Bakersfield Books", "Bakery", "Miller & Daughters", "The Corner Bakery"]),
        ("baker", ["Bakersfield Books", "Bakery", "Miller & Daughters", "The Corner Bakery"]),
        ("kond schl", ["Konditorei am Schloss"]),
        # Several words, in any order, of name, address and city.
        ("bath bakery", ["Bakery"]),
        ("bristol bakery lane", ["The Corner Bakery"]),
        ("bakery leeds", []),
        # Letter case, accents and letters of other alphabets.
        ("muller", ["Müller", "Miller & Daughters"]),
        ("MÜLLER", ["Müller", "Miller & Daughters"]),
        ("cafe creme", ["Café Crème"]),
        ("smorrebrod", ["Smørrebrød"]),
        ("kobenhavn", ["Smørrebrød"]),
        ("besancon", ["Café Crème"]),
        ("東京", ["東京駅前店"]),
        # Typing errors: swapped, missing, doubled and wrong letters.
        ("bakrey", ["Bakery", "Miller & Daughters", "The Corner Bakery"]),
        ("bakry", ["Bakery", "Miller & Daughters", "The Corner Bakery"]),
        ("bakkery", ["Bakery", "Miller & Daughters", "The Corner Bakery"]),
        ("bakety", ["Bakery", "Miller & Daughters", "The Corner Bakery"]),
        ("akery", ["Bakery", "Miller & Daughters", "The Corner Bakery"]),
        ("dusseldrof", ["Müller"]),
        ("konditrei", ["Konditorei am Schloss"]),
        ("konditrey", ["Konditorei am Schloss"]),
        ("bristl bakrey", ["The Corner Bakery"]),
        ("miller", ["Miller & Daughters", "Müller"]),
        # Two errors in a short word, or one in three letters, are another word.
        ("bkrey", []),
        ("dam", []),
        ("bad", []),
        # Postal codes.
        ("40212", ["Müller"]),
        ("BS1 4DJ", ["The Corner Bakery"]),
        ("40213", []),
        # The brand's name is the name of each of its stores, so they are all of one kind.
        ("crumb company bakery", ["Bakery", "The Corner Bakery", "Miller & Daughters"]),
        ("crumb comp bath", ["Bakery"]),
        # Nothing that is a word.
        ("!?", []),
        ("%", []),
    ],
)
async def test_words_find_what_they_mean_and_the_best_first(
    brands: Brands, category: str, brand_id: str, query: str, found: list[str]
) -> None:
    assert await brands.names(category=category, query=query) == found
    one_by_one = await brands.names(category=category, query=query, page_size=1)
    assert one_by_one == found, "pages go on where they ended, also between kinds of match"


async def test_without_words_all_are_found_by_name(brands: Brands, category: str, brand_id: str) -> None:
    found = await brands.names(category=category, page_size=2)
    assert sorted(found) == sorted(STORES)
    assert found[:3] == ["Bakersfield Books", "Bakery", "Café Crème"]
    assert await brands.names(category=category, query="crumb company") == found
    assert await brands.names(brand_id=brand_id) == found
    assert await brands.names(category="No such category") == []
    assert await brands.names(brand_id=str(new_id())) == []


async def test_what_changes_is_found_as_it_is_now(brands: Brands) -> None:
    word = f"w{new_id().hex[:10]}x"
    brand = (await brands.published(name=f"{word} brand")).brand
    store = (await brands.store(brand.id, "Plain")).store
    assert await brands.names(query=word) == ["Plain"]
    await brands.update(brand.id, name="Other brand")
    assert await brands.names(query=word) == []
    await brands.update_store(store.id, name=f"{word} store")
    assert await brands.names(query=word) == [f"{word} store"]
    await brands.update(brand.id, category=f"Category {word}")
    assert await brands.names(category=f"Category {word}") == [f"{word} store"]
    await brands.unpublish(brand.id)
    assert await brands.names(query=word) == []
    await brands.publish(brand.id)
    await brands.delete_store(store.id)
    assert await brands.names(query=word) == []


async def _stores_at(brands: Brands, places: list[tuple[float, float]]) -> str:
    """Returns a category whose stores are at these places, named by their number."""
    category = f"Category {new_id()}"
    brand = (await brands.published(category=category)).brand
    for number, (latitude, longitude) in enumerate(places):
        position = store_pb2.Position(latitude=latitude, longitude=longitude)
        await brands.store(brand.id, f"Store {number}", position=position)
    return category


def meters(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Returns the distance by the angle between two vectors, which is another way than the product's."""

    def vector(place: tuple[float, float]) -> tuple[float, float, float]:
        latitude, longitude = map(math.radians, place)
        flat = math.cos(latitude)
        return flat * math.cos(longitude), flat * math.sin(longitude), math.sin(latitude)

    a, b = vector(one), vector(other)
    cross = math.dist(
        (0, 0, 0),
        (
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ),
    )
    return EARTH_METERS * math.atan2(cross, sum(x * y for x, y in zip(a, b, strict=True)))


@pytest.mark.covers("C6 StoreService.ListStores")
@pytest.mark.parametrize(
    "center",
    [
        (52.52, 13.405),
        (0.0, 0.0),
        (-16.8, 179.95),
        (-16.8, -179.97),
        (78.22, 15.65),
        (89.7, 20.0),
        (-90.0, 0.0),
    ],
)
async def test_the_nearest_come_first_wherever_on_earth(brands: Brands, center: tuple[float, float]) -> None:
    random_places = random.Random(7)  # the same ones each time
    places = []
    for _ in range(25):
        north = random_places.uniform(-0.9, 0.9)
        latitude = max(-90.0, min(90.0, center[0] + north))
        wide = min(180.0, 0.9 / max(0.003, math.cos(math.radians(latitude))))
        longitude = center[1] + random_places.uniform(-wide, wide)
        places.append((latitude, (longitude + 180) % 360 - 180))
    category = await _stores_at(brands, places)
    radius = 80_000
    expected = sorted((meters(center, place), f"Store {n}") for n, place in enumerate(places))
    expected = [one for one in expected if one[0] <= radius]
    assert len(expected) > 5
    around: dict[str, Any] = {"latitude": center[0], "longitude": center[1], "radius_meters": radius}
    for size in (200, 3):
        found = await brands.find(category=category, page_size=size, **around)
        assert [one.store.name for one in found] == [name for _, name in expected]
        for one, (distance, _) in zip(found, expected, strict=True):
            assert one.distance_meters == pytest.approx(distance, abs=0.5)


async def test_words_and_place_go_together(brands: Brands) -> None:
    category = f"Category {new_id()}"
    brand = (await brands.published(category=category)).brand
    for name, latitude in (
        ("Bakery", 52.53),
        ("Bakery far", 52.9),
        ("Bakery near", 52.521),
        ("Shoes", 52.52),
    ):
        await brands.store(brand.id, name, position=store_pb2.Position(latitude=latitude, longitude=13.4))
    await brands.store(brand.id, "Bakery nowhere")
    around: dict[str, Any] = {"category": category, "latitude": 52.52, "longitude": 13.4}
    for size in (1, 50):
        by_relevance = await brands.names(query="bakery", radius_meters=100_000, page_size=size, **around)
        assert by_relevance == ["Bakery", "Bakery near", "Bakery far"]
        nearest = {"order_by": "distance", "radius_meters": 100_000, "page_size": size} | around
        assert await brands.names(query="bakery", **nearest) == ["Bakery near", "Bakery", "Bakery far"]
        assert await brands.names(query="bakrey", **nearest) == ["Bakery near", "Bakery", "Bakery far"]
    assert await brands.names(query="bakery", **around) == ["Bakery", "Bakery near"], "10 km when not given"
    assert await brands.names(radius_meters=500, **around) == ["Shoes", "Bakery near"]
    found = await brands.find(query="bakery", category=category)
    assert {one.store.name for one in found} >= {"Bakery nowhere"}
    assert not any(one.HasField("distance_meters") for one in found)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"latitude": 91.0, "longitude": 0.0}, "latitude"),
        ({"latitude": 0.0, "longitude": -180.1}, "longitude"),
        ({"latitude": float("nan"), "longitude": 0.0}, "latitude"),
        ({"latitude": 0.0, "longitude": float("inf")}, "longitude"),
        ({"latitude": 0.0}, "latitude and longitude go together"),
        ({"longitude": 0.0}, "latitude and longitude go together"),
        ({"order_by": "distance"}, "latitude"),
        ({"radius_meters": 10}, "latitude"),
        ({"latitude": 0.0, "longitude": 0.0, "radius_meters": -1}, "radius_meters"),
        ({"latitude": 0.0, "longitude": 0.0, "radius_meters": 100_001}, "radius_meters"),
        ({"order_by": "name"}, "order_by"),
        ({"query": "x" * 121}, "query"),
        ({"brand_id": "x"}, "brand_id"),
        ({"page_size": 201}, "page_size"),
    ],
)
async def test_bad_input_is_refused_with_its_field(
    brands: Brands, fields: dict[str, Any], field: str
) -> None:
    status, _ = await refused_status(brands.find(**fields))
    assert field in str(status)


async def test_a_page_token_is_good_for_its_search_alone(
    brands: Brands, category: str, brand_id: str
) -> None:
    async def page(**fields: Any) -> store_pb2.ListStoresResponse:
        return await brands.stores.ListStores(store_pb2.ListStoresRequest(page_size=1, **fields))

    token = (await page(category=category)).next_page_token
    for fields in ({}, {"category": category, "query": "b"}, {"category": category, "open_now": True}):
        assert await reason(page(page_token=token, **fields)) == "PAGE_TOKEN_NOT_VALID"
    place = {"category": category, "latitude": 0.0, "longitude": 0.0}
    assert await reason(page(page_token=token, **place)) == "PAGE_TOKEN_NOT_VALID"


@pytest.mark.parametrize(
    "query",
    ["'; DROP TABLE stores; --", "\\", "*", "=", "+", "{}", "a" * 120, "a " * 59, "\u0301" * 9, "\U0001f4a9"],
)
async def test_what_is_no_language_finds_nothing_and_does_no_harm(brands: Brands, query: str) -> None:
    await brands.stores.ListStores(store_pb2.ListStoresRequest(query=query, page_size=1))
