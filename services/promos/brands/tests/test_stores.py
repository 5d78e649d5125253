"""Stores: who makes, changes and sees them, and when they are open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from scrip.promos.v1 import store_pb2

from services.common.ids import new_id
from services.promos.tests.brands_help import Brands
from services.promos.tests.support import Promos, at_once
from tests.inprocess import bearer, reason, refusal, refused_status

UNKNOWN = str(new_id())
ADDRESS = store_pb2.Address(line="Hauptstraße 7", city="Köln", postal_code="50667", country="DE")
POSITION = store_pb2.Position(latitude=50.9413, longitude=6.9583)
MONDAY, SATURDAY, SUNDAY = store_pb2.WEEKDAY_MONDAY, store_pb2.WEEKDAY_SATURDAY, store_pb2.WEEKDAY_SUNDAY
NAN, INFINITY = float("nan"), float("inf")


def interval(
    weekday: store_pb2.Weekday.ValueType, opens: str, closes: str, next_day: bool = False
) -> store_pb2.OpenInterval:
    return store_pb2.OpenInterval(weekday=weekday, opens=opens, closes=closes, closes_next_day=next_day)


def hours(*intervals: store_pb2.OpenInterval) -> store_pb2.OpeningHours:
    return store_pb2.OpeningHours(intervals=intervals)


async def managed(brands: Brands, token: str = "", **fields: Any) -> list[str]:
    """Returns the ids of what staff are shown, page by page."""
    found: list[str] = []
    page_token = ""
    while True:
        request = store_pb2.ListManagedStoresRequest(page_size=2, page_token=page_token, **fields)
        metadata = bearer(token or brands.promos.admin)
        reply = await brands.stores.ListManagedStores(request, metadata=metadata)
        found += [one.store.id for one in reply.stores]
        page_token = reply.next_page_token
        if not page_token:
            return found


async def read(brands: Brands, store_id: str) -> store_pb2.Store:
    """Returns a store as everybody sees it."""
    return (await brands.stores.GetStore(store_pb2.GetStoreRequest(store_id=store_id))).store


@pytest.mark.covers("C6 StoreService.CreateStore", "C6 StoreService.GetManagedStore")
async def test_a_store_is_made_and_read_back(brands: Brands) -> None:
    brand = (await brands.brand(name="Müller", category="Bakeries")).brand
    opening = hours(interval(MONDAY, "09:00", "18:30"), interval(SATURDAY, "22:00", "02:00", next_day=True))
    made = await brands.store(
        brand.id,
        " Müller   am Dom ",
        address=ADDRESS,
        position=POSITION,
        opening_hours=opening,
        phone="+49221123456",
    )
    store = made.store
    assert (store.name, store.brand_id, store.brand_name) == ("Müller am Dom", brand.id, "Müller")
    assert (store.category, store.time_zone, store.phone) == ("Bakeries", "Europe/Berlin", "+49221123456")
    assert (store.address, store.position, store.opening_hours) == (ADDRESS, POSITION, opening)
    assert store.HasField("open_now")
    assert await brands.get_store(store.id) == made
    assert (await brands.get(brand.id)).brand.stores == 1


async def test_what_is_not_known_of_a_store_is_absent(brands: Brands) -> None:
    made = (await brands.store((await brands.brand()).brand.id)).store
    assert not made.HasField("position")
    assert not made.HasField("opening_hours")
    assert not made.HasField("open_now")
    assert (made.phone, made.logo_path) == ("", "")


async def test_a_store_is_made_once_per_key(brands: Brands) -> None:
    brand_id, key = (await brands.brand()).brand.id, str(new_id())
    first = await brands.store(brand_id, key=key)
    assert await brands.store(brand_id, key=key) == first
    assert (await brands.get(brand_id)).brand.stores == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\x1bb"}, "name"),
        ({"address": None}, "address"),
        ({"address": store_pb2.Address(city="", country="DE")}, "address.city"),
        ({"address": store_pb2.Address(city="Köln", country="de")}, "address.country"),
        ({"address": store_pb2.Address(city="Köln", country="DE", line="a\x07")}, "address.line"),
        ({"position": store_pb2.Position(latitude=90.001)}, "position.latitude"),
        ({"position": store_pb2.Position(latitude=-91)}, "position.latitude"),
        ({"position": store_pb2.Position(longitude=180.5)}, "position.longitude"),
        ({"position": store_pb2.Position(latitude=NAN)}, "position.latitude"),
        ({"position": store_pb2.Position(longitude=NAN)}, "position.longitude"),
        ({"position": store_pb2.Position(longitude=-INFINITY)}, "position.longitude"),
        ({"time_zone": ""}, "time_zone"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"time_zone": "'; DROP TABLE stores"}, "time_zone"),
        ({"phone": "0221 123456"}, "phone"),
        ({"opening_hours": hours()}, "opening_hours.intervals"),
        ({"opening_hours": hours(interval(MONDAY, "18:00", "09:00"))}, "opening_hours.intervals"),
        ({"opening_hours": hours(interval(MONDAY, "09:00", "09:00"))}, "opening_hours.intervals"),
        ({"opening_hours": hours(interval(MONDAY, "09:00", "10:00", next_day=True))}, "opening_hours"),
        ({"opening_hours": hours(interval(MONDAY, "9:00", "10:00"))}, "opening_hours.intervals[0].opens"),
        ({"opening_hours": hours(interval(MONDAY, "24:00", "24:00"))}, "opening_hours.intervals[0].opens"),
        ({"opening_hours": hours(interval(MONDAY, "09:00", "24:01"))}, "opening_hours.intervals[0].closes"),
        (
            {"opening_hours": hours(store_pb2.OpenInterval(opens="09:00", closes="10:00"))},
            "opening_hours.intervals[0].weekday",
        ),
        (
            {"opening_hours": hours(interval(MONDAY, "09:00", "13:00"), interval(MONDAY, "12:59", "18:00"))},
            "opening_hours.intervals",
        ),
        (
            {
                "opening_hours": hours(
                    interval(SUNDAY, "22:00", "03:00", next_day=True), interval(MONDAY, "02:00", "04:00")
                )
            },
            "opening_hours.intervals",
        ),
        ({"opening_hours": hours(*[interval(MONDAY, "09:00", "10:00")] * 51)}, "opening_hours.intervals"),
    ],
)
async def test_bad_input_is_refused_with_its_field(
    brands: Brands, fields: dict[str, Any], field: str
) -> None:
    brand_id = (await brands.brand()).brand.id
    status, code = await refused_status(brands.store(brand_id, **fields))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(status)
    made = await brands.store(brand_id)
    if all(fields.values()):
        status, code = await refused_status(brands.update_store(made.store.id, **fields))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert field in str(status)
    assert await brands.get_store(made.store.id) == made
    assert (await brands.get(brand_id)).brand.stores == 1


@pytest.mark.covers("C6 StoreService.UpdateStore")
async def test_what_is_given_is_changed_and_the_rest_stays(brands: Brands) -> None:
    brand_id = (await brands.brand()).brand.id
    opening = hours(interval(MONDAY, "09:00", "18:00"))
    made = await brands.store(
        brand_id, "Old", address=ADDRESS, position=POSITION, opening_hours=opening, phone="+49221123456"
    )
    changed = await brands.update_store(made.store.id, name="New", etag=made.etag)
    assert changed.etag != made.etag
    expected = made.store
    expected.name = "New"
    assert changed.store == expected
    assert await brands.update_store(made.store.id, name="New", position=POSITION) == changed
    moved = await brands.update_store(
        made.store.id,
        address=store_pb2.Address(city="Bonn", country="DE"),
        position=store_pb2.Position(latitude=0, longitude=0),
        time_zone="Asia/Tokyo",
        opening_hours=hours(interval(SUNDAY, "00:00", "24:00")),
        phone="+4922898765",
    )
    assert (moved.store.address.city, moved.store.address.line) == ("Bonn", "")
    assert moved.store.position == store_pb2.Position(latitude=0, longitude=0)
    assert moved.store.opening_hours == hours(interval(SUNDAY, "00:00", "24:00"))
    emptied = await brands.update_store(made.store.id, clear=["position", "opening_hours", "phone"])
    assert not emptied.store.HasField("position")
    assert not emptied.store.HasField("opening_hours")
    assert emptied.store.phone == ""
    both = brands.update_store(made.store.id, clear=["position"], position=POSITION)
    assert await reason(both) == "VALIDATION_FAILED"


async def test_hours_over_midnight_and_round_the_clock_come_back_as_they_are(brands: Brands) -> None:
    brand_id = (await brands.brand()).brand.id
    week = [interval(day, "00:00", "24:00") for day in store_pb2.Weekday.values()[1:]]
    given_and_shown = [
        (
            [interval(SUNDAY, "20:00", "03:00", next_day=True), interval(MONDAY, "08:00", "12:00")],
            [interval(MONDAY, "08:00", "12:00"), interval(SUNDAY, "20:00", "03:00", next_day=True)],
        ),
        (
            [interval(MONDAY, "12:00", "18:00"), interval(MONDAY, "08:00", "12:00")],
            [interval(MONDAY, "08:00", "18:00")],
        ),
        (week, week),
    ]
    for given, shown in given_and_shown:
        made = await brands.store(brand_id, opening_hours=hours(*given))
        assert made.store.opening_hours == hours(*shown)


@pytest.mark.covers("C6 StoreService.GetStore")
async def test_everybody_sees_stores_of_published_brands_alone(brands: Brands) -> None:
    brand_id = (await brands.brand()).brand.id
    store_id = (await brands.store(brand_id)).store.id
    refused = await refusal(read(brands, store_id))
    assert refused == ("STORE_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"store_id": store_id})
    await brands.publish(brand_id)
    assert await read(brands, store_id) == (await brands.get_store(store_id)).store
    later = (await brands.store(brand_id)).store
    assert await read(brands, later.id) == later
    await brands.unpublish(brand_id)
    assert await reason(read(brands, store_id)) == "STORE_NOT_FOUND"
    assert await reason(read(brands, UNKNOWN)) == "STORE_NOT_FOUND"


@pytest.mark.covers("C6 StoreService.DeleteStore")
async def test_a_deleted_store_is_gone(brands: Brands) -> None:
    brand = await brands.published()
    made = await brands.store(brand.brand.id, f"Gone {new_id()}")
    assert await reason(brands.delete_store(made.store.id, etag="0")) == "ETAG_MISMATCH"
    await brands.delete_store(made.store.id, etag=made.etag)
    for call in (
        read(brands, made.store.id),
        brands.get_store(made.store.id),
        brands.update_store(made.store.id, name="X"),
        brands.delete_store(made.store.id),
    ):
        assert await reason(call) == "STORE_NOT_FOUND"
    assert await brands.find(brand_id=brand.brand.id) == []
    assert await brands.get(brand.brand.id) == brand, "the brand's etag does not count its stores"


async def test_of_many_changes_by_one_etag_one_is_made(brands: Brands) -> None:
    made = await brands.store((await brands.brand()).brand.id)
    done, refused = await at_once(
        brands.update_store(made.store.id, name=f"Name {n}", etag=made.etag) for n in range(50)
    )
    assert (len(done), refused) == (1, {"ETAG_MISMATCH": 49})


@pytest.mark.covers("C6 StoreService.CreateStore")
async def test_a_brand_has_so_many_stores_at_most(brands: Brands, promos: Promos) -> None:
    brand_id = (await brands.brand()).brand.id
    await promos.execute("UPDATE brands SET stores = 9995 WHERE id = %(id)s", id=brand_id)
    done, refused = await at_once(brands.store(brand_id, f"Store {n}") for n in range(20))
    assert (len(done), refused) == (5, {"TOO_MANY_STORES": 15})
    assert await refusal(brands.store(brand_id)) == (
        "TOO_MANY_STORES",
        grpc.StatusCode.FAILED_PRECONDITION,
        {"limit": "10000"},
    )


async def test_stores_of_an_archived_brand_stay_as_they_are(brands: Brands) -> None:
    brand_id = (await brands.published()).brand.id
    made = await brands.store(brand_id)
    await brands.archive(brand_id)
    for call in (
        brands.update_store(made.store.id, name="X"),
        brands.delete_store(made.store.id),
        brands.store(brand_id),
    ):
        assert await reason(call) == "BRAND_ARCHIVED"
    assert await brands.get_store(made.store.id) == made


@pytest.mark.covers("C6 StoreService.ListManagedStores")
async def test_staff_see_all_filtered_and_sorted(brands: Brands) -> None:
    brand_id, other = (await brands.brand()).brand.id, (await brands.brand()).brand.id
    mark = f"m{new_id().hex}"
    b, a, c = [(await brands.store(brand_id, f"{mark} {name}")).store.id for name in ("B", "Ä", "C")]
    await brands.store(other, f"{mark} D")
    assert await managed(brands, brand_id=brand_id) == [a, b, c]
    assert await managed(brands, brand_id=brand_id, order_by="name desc") == [c, b, a]
    assert await managed(brands, brand_id=brand_id, order_by="created_at") == [b, a, c]
    assert await managed(brands, brand_id=brand_id, order_by="created_at desc") == [c, a, b]
    assert len(await managed(brands, query=mark.upper())) == 4
    assert await managed(brands, query=f"{mark} a") == [a]
    assert await managed(brands, query=f"{mark}z") == []
    request = store_pb2.ListManagedStoresRequest(brand_id=brand_id, page_size=1, with_total=True)
    reply = await brands.stores.ListManagedStores(request, metadata=bearer(brands.promos.admin))
    assert reply.total.count == 3


def changes(brands: Brands) -> list[Callable[..., Any]]:
    """Returns every call that changes a store."""
    return [lambda store_id, **kw: brands.update_store(store_id, name="X", **kw), brands.delete_store]


@pytest.mark.covers("C6 StoreService.ListManagedStores", "C6 StoreService.UpdateStore")
async def test_a_brand_manager_sees_and_changes_its_own_alone(brands: Brands, promos: Promos) -> None:
    mine, other = (await brands.brand()).brand.id, (await brands.brand()).brand.id
    manager = await promos.platform.brand_manager(mine)
    made = await brands.store(mine, token=manager)
    foreign = await brands.store(other)
    assert await managed(brands, manager) == await managed(brands, manager, brand_id=mine)
    assert await managed(brands, manager) == [made.store.id]
    assert (await brands.update_store(made.store.id, name="Mine", token=manager)).store.name == "Mine"
    for call in (
        *(change(foreign.store.id, token=manager) for change in changes(brands)),
        brands.get_store(foreign.store.id, token=manager),
        brands.store(other, token=manager),
        brands.store(UNKNOWN, token=manager),
        managed(brands, manager, brand_id=other),
    ):
        assert await refusal(call) == ("BRAND_NOT_YOURS", grpc.StatusCode.PERMISSION_DENIED, {})
    without = await promos.platform.token("brand_manager")
    assert await reason(managed(brands, without)) == "BRAND_NOT_YOURS"
    assert await brands.get_store(foreign.store.id) == foreign
    await brands.delete_store(made.store.id, token=manager)


async def test_others_manage_nothing(brands: Brands, promos: Promos) -> None:
    brand_id = (await brands.brand()).brand.id
    made = await brands.store(brand_id)
    member = (await promos.platform.member()).token
    for token in (await promos.platform.token("cashier"), await promos.platform.token("till"), member):
        for call in (
            *(change(made.store.id, token=token) for change in changes(brands)),
            brands.store(brand_id, token=token),
        ):
            assert await reason(call) == "ROLE_NOT_ALLOWED"
    for call in (brands.get_store(made.store.id, token=member), managed(brands, member)):
        assert await reason(call) == "ROLE_NOT_ALLOWED"


async def test_a_store_is_open_by_the_clock_of_its_time_zone(brands: Brands) -> None:
    brand_id = (await brands.published()).brand.id
    now = datetime.now(UTC)
    for zone, offset in (("UTC", 0), ("Asia/Tokyo", 9), ("Etc/GMT+12", -12)):
        local = now + timedelta(hours=offset)
        since, until = local - timedelta(hours=3), local + timedelta(hours=3)
        open_now = _between(since, until)
        closed = _between(until, since + timedelta(hours=18))
        assert (await brands.store(brand_id, time_zone=zone, opening_hours=open_now)).store.open_now
        shut = (await brands.store(brand_id, "Shut", time_zone=zone, opening_hours=closed)).store
        assert shut.HasField("open_now")
        assert not shut.open_now
    await brands.store(brand_id, "Unknown")
    assert await brands.names(brand_id=brand_id, open_now=True) == ["Store"] * 3


def _between(opens: datetime, closes: datetime) -> store_pb2.OpeningHours:
    weekday = store_pb2.Weekday.Value(f"WEEKDAY_{opens:%A}".upper())
    return hours(interval(weekday, f"{opens:%H:%M}", f"{closes:%H:%M}", opens.date() != closes.date()))
