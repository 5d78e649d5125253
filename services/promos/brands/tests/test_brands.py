"""Pages of brands: who makes, changes and sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from scrip.identity.v1 import audit_pb2, audit_pb2_grpc
from scrip.promos.v1 import brand_pb2

from services.common.ids import new_id
from services.promos.tests.brands_help import ARCHIVED, DRAFT, PUBLISHED, Brands
from services.promos.tests.support import Promos, at_once
from tests.inprocess import bearer, eventually, reason, refusal, refused_status

UNKNOWN = str(new_id())


async def read(brands: Brands, brand_id: str) -> brand_pb2.Brand:
    """Returns a brand as everybody sees it."""
    return (await brands.stub.GetBrand(brand_pb2.GetBrandRequest(brand_id=brand_id))).brand


async def listed(brands: Brands, **fields: Any) -> list[str]:
    """Returns the ids of what everybody is shown, page by page."""
    found: list[str] = []
    token = ""
    while True:
        request = brand_pb2.ListBrandsRequest(page_size=2, page_token=token, **fields)
        page = await brands.stub.ListBrands(request)
        found += [brand.id for brand in page.brands]
        token = page.next_page_token
        if not token:
            return found


async def managed(brands: Brands, token: str = "", **fields: Any) -> list[str]:
    """Returns the ids of what staff are shown."""
    request = brand_pb2.ListManagedBrandsRequest(page_size=200, **fields)
    reply = await brands.stub.ListManagedBrands(request, metadata=bearer(token or brands.promos.admin))
    return [one.brand.id for one in reply.brands]


@pytest.mark.covers("C6 BrandService.CreateBrand", "C6 BrandService.GetManagedBrand")
async def test_a_brand_is_made_as_a_draft_and_read_back(brands: Brands) -> None:
    made = await brands.brand(
        name="  Café   Müller ",
        description=" Bread.\nAnd cake. ",
        category=" Bakeries ",
        website="https://mueller.example/",
    )
    assert made.brand == brand_pb2.Brand(
        id=made.brand.id,
        name="Café Müller",
        description="Bread.\nAnd cake.",
        category="Bakeries",
        website="https://mueller.example/",
    )
    assert made.state == DRAFT
    assert made.etag
    assert made.HasField("created_at")
    assert await brands.get(made.brand.id) == made


async def test_a_brand_is_made_once_per_key(brands: Brands) -> None:
    key = str(new_id())
    first = await brands.brand(name="Once", key=key)
    assert await brands.brand(name="Once", key=key) == first
    assert await reason(brands.brand(name="Twice", key=key)) == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "a\x07b"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"description": "x" * 4001}, "description"),
        ({"description": "a\x00b"}, "description"),
        ({"category": ""}, "category"),
        ({"category": "x" * 61}, "category"),
        ({"website": "http://plain.example"}, "website"),
        ({"website": "javascript:alert(1)"}, "website"),
        ({"website": "https://a b.example"}, "website"),
        ({"website": "https://" + "x" * 500}, "website"),
    ],
)
async def test_bad_input_is_refused_with_its_field(
    brands: Brands, fields: dict[str, Any], field: str
) -> None:
    status, code = await refused_status(brands.brand(**fields))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(status)
    made = await brands.brand()
    changes = {name: value for name, value in fields.items() if value}
    if changes:
        status, code = await refused_status(brands.update(made.brand.id, **changes))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert field in str(status)
        assert await brands.get(made.brand.id) == made


@pytest.mark.covers("C6 BrandService.ListBrands", "C6 BrandService.GetBrand", "C6 BrandService.PublishBrand")
async def test_everybody_sees_what_is_published_and_nothing_else(brands: Brands) -> None:
    category = f"Category {new_id()}"
    one, two, three = [(await brands.brand(name=name, category=category)).brand.id for name in "bac"]
    assert await listed(brands, category=category) == []
    for brand_id in (one, two, three):
        refused = await refusal(read(brands, brand_id))
        assert refused == ("BRAND_NOT_FOUND", grpc.StatusCode.NOT_FOUND, {"brand_id": brand_id})
        assert (await brands.publish(brand_id)).state == PUBLISHED
    assert await listed(brands, category=category) == [two, one, three], "by name"
    assert (await read(brands, one)) == (await brands.get(one)).brand
    await brands.unpublish(two)
    await brands.archive(three)
    assert await listed(brands, category=category) == [one]
    for brand_id in (two, three, UNKNOWN):
        assert await reason(read(brands, brand_id)) == "BRAND_NOT_FOUND"


@pytest.mark.covers("C6 BrandService.ListBrands")
async def test_brands_are_found_by_the_beginning_of_their_name(brands: Brands) -> None:
    category = f"Category {new_id()}"
    mueller = (await brands.published(name="MÜLLER & Söhne", category=category)).brand.id
    await brands.published(name="Another", category=category)
    for query in ("müller", "Muller so", "muller sohne", "M"):
        assert await listed(brands, category=category, query=query) == [mueller]
    assert await listed(brands, category=category, query="sohne") == []
    assert await listed(brands, category="No such category") == []
    request = brand_pb2.ListBrandsRequest(category=category, page_size=1, with_total=True)
    assert (await brands.stub.ListBrands(request)).total.count == 2


@pytest.mark.covers("C6 BrandService.GetBrandCategories")
async def test_categories_are_those_of_published_brands(brands: Brands) -> None:
    category = f"Category {new_id()}"
    made = [(await brands.brand(category=category)).brand.id for _ in range(3)]

    async def count() -> int:
        reply = await brands.stub.GetBrandCategories(brand_pb2.GetBrandCategoriesRequest())
        return sum(one.brands for one in reply.categories if one.category == category)

    assert await count() == 0
    await brands.publish(made[0])
    await brands.publish(made[1])
    assert await count() == 2


@pytest.mark.covers("C6 BrandService.ListManagedBrands")
async def test_staff_see_all_filtered_and_sorted(brands: Brands) -> None:
    category = f"Category {new_id()}"
    b, a = [(await brands.brand(name=name, category=category)).brand.id for name in "ba"]
    await brands.publish(b)
    assert await managed(brands, category=category) == [a, b]
    assert await managed(brands, category=category, order_by="name desc") == [b, a]
    assert await managed(brands, category=category, order_by="created_at") == [b, a]
    assert await managed(brands, category=category, order_by="created_at desc") == [a, b]
    assert await managed(brands, category=category, state=DRAFT) == [a]
    assert await managed(brands, category=category, state=PUBLISHED) == [b]
    assert await managed(brands, category=category, state=ARCHIVED) == []
    assert await managed(brands, category=category, query="A") == [a]


@pytest.mark.covers("C6 BrandService.UpdateBrand")
async def test_what_is_given_is_changed_and_the_rest_stays(brands: Brands) -> None:
    made = await brands.brand(description="Old", website="https://old.example")
    changed = await brands.update(made.brand.id, name="New", etag=made.etag)
    assert (changed.brand.name, changed.brand.description) == ("New", "Old")
    assert changed.etag != made.etag
    assert await brands.update(made.brand.id, name="New") == changed, "nothing is different"
    emptied = await brands.update(made.brand.id, category="Cafés", clear=["description", "website"])
    assert (emptied.brand.name, emptied.brand.category) == ("New", "Cafés")
    assert (emptied.brand.description, emptied.brand.website) == ("", "")
    for clear, fields in (
        ("website", {"website": "https://a.example"}),
        ("description", {"description": "x"}),
    ):
        call = brands.update(made.brand.id, clear=[clear], **fields)
        assert await reason(call) == "VALIDATION_FAILED"
    assert await reason(brands.update(made.brand.id, clear=["name"])) == "VALIDATION_FAILED"


def changes(brands: Brands) -> list[Callable[..., Any]]:
    """Returns every change of a brand that takes an etag."""
    return [
        lambda brand_id, **kw: brands.update(brand_id, name=f"N {new_id()}", **kw),
        brands.publish,
        brands.unpublish,
        brands.archive,
    ]


async def test_each_change_needs_the_etag_as_it_is_and_gives_another(brands: Brands) -> None:
    made = await brands.brand()
    etag, old = made.etag, "0"
    for change in changes(brands):
        refused = await refusal(change(made.brand.id, etag=old))
        assert refused == ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, {"etag": etag})
        after = await change(made.brand.id, etag=etag)
        etag, old = after.etag, etag
        assert etag != old


async def test_of_many_changes_by_one_etag_one_is_made(brands: Brands) -> None:
    made = await brands.brand()
    done, refused = await at_once(
        brands.update(made.brand.id, name=f"Name {n}", etag=made.etag) for n in range(50)
    )
    assert len(done) == 1
    assert refused == {"ETAG_MISMATCH": 49}
    assert await brands.get(made.brand.id) == done[0]


@pytest.mark.covers("C6 BrandService.ArchiveBrand", "C6 BrandService.UnpublishBrand")
async def test_an_archived_brand_is_changed_no_more(brands: Brands) -> None:
    made = await brands.published()
    archived = await brands.archive(made.brand.id)
    assert archived.state == ARCHIVED
    assert await brands.archive(made.brand.id) == archived
    for call in (
        brands.update(made.brand.id, name="X"),
        brands.publish(made.brand.id),
        brands.unpublish(made.brand.id),
        brands.store(made.brand.id),
    ):
        refused = await refusal(call)
        assert refused[0] == "BRAND_ARCHIVED"
        assert refused[2] == {"brand_id": made.brand.id}
    assert await brands.get(made.brand.id) == archived


async def test_unknown_brands_are_not_found(brands: Brands) -> None:
    for change in (*changes(brands), brands.get):
        assert await reason(change(UNKNOWN)) == "BRAND_NOT_FOUND"
        assert await reason(change("x")) == "VALIDATION_FAILED"


@pytest.mark.covers("C6 BrandService.ListManagedBrands", "C6 BrandService.UpdateBrand")
async def test_a_brand_manager_sees_and_changes_its_own_alone(brands: Brands, promos: Promos) -> None:
    mine, other = await brands.brand(), await brands.brand()
    manager = await promos.platform.brand_manager(mine.brand.id)
    assert await managed(brands, manager) == [mine.brand.id]
    assert await brands.get(mine.brand.id, token=manager) == mine
    assert (await brands.update(mine.brand.id, name="Mine", token=manager)).brand.name == "Mine"
    assert (await brands.publish(mine.brand.id, token=manager)).state == PUBLISHED
    assert (await brands.unpublish(mine.brand.id, token=manager)).state == DRAFT
    for brand_id in (other.brand.id, UNKNOWN):
        for call in (
            brands.get(brand_id, token=manager),
            brands.update(brand_id, name="Mine too", token=manager),
            brands.publish(brand_id, token=manager),
            brands.unpublish(brand_id, token=manager),
        ):
            assert await refusal(call) == ("BRAND_NOT_YOURS", grpc.StatusCode.PERMISSION_DENIED, {})
    for call in (brands.brand(token=manager), brands.archive(mine.brand.id, token=manager)):
        assert await reason(call) == "ROLE_NOT_ALLOWED"
    assert await brands.get(other.brand.id) == other


async def test_a_brand_manager_without_a_brand_sees_none(brands: Brands, promos: Promos) -> None:
    token = await promos.platform.token("brand_manager")
    assert await reason(managed(brands, token)) == "BRAND_NOT_YOURS"
    made = await brands.brand()
    assert await reason(brands.get(made.brand.id, token=token)) == "BRAND_NOT_YOURS"


async def test_others_manage_nothing(brands: Brands, promos: Promos) -> None:
    async def create(_: str, token: str) -> object:
        return await brands.brand(token=token)

    made = await brands.brand()
    tokens = [await promos.platform.token(role) for role in ("cashier", "till")]
    tokens.append((await promos.platform.member()).token)
    for token in tokens:
        for change in (*changes(brands), create):
            assert await reason(change(made.brand.id, token=token)) == "ROLE_NOT_ALLOWED"
    for token in tokens[1:]:
        assert await reason(managed(brands, token)) == "ROLE_NOT_ALLOWED"
        assert await reason(brands.get(made.brand.id, token=token)) == "ROLE_NOT_ALLOWED"


async def test_every_change_is_audited_once(brands: Brands, promos: Promos) -> None:
    made = await brands.brand(name="Audited")
    await brands.update(made.brand.id, name="Audited again")
    await brands.update(made.brand.id, name="Audited again")
    await brands.publish(made.brand.id)
    await brands.publish(made.brand.id)
    await brands.unpublish(made.brand.id)
    await brands.archive(made.brand.id)
    stub = audit_pb2_grpc.AuditServiceStub(promos.platform.channels["identity"])
    request = audit_pb2.ListAuditEntriesRequest(target_id=made.brand.id)

    async def entries() -> None:
        reply = await stub.ListAuditEntries(request, metadata=bearer(promos.admin))
        found = sorted(reply.entries, key=lambda entry: entry.occurred_at.ToNanoseconds())
        assert [entry.action for entry in found] == [
            "brand.created",
            "brand.updated",
            "brand.published",
            "brand.unpublished",
            "brand.archived",
        ]
        assert MessageToDict(found[1].details) == {"changed": ["name"]}

    await eventually(entries, seconds=10)


async def test_changes_of_a_brand_and_its_stores_do_not_wait_for_each_other_for_ever(
    brands: Brands, promos: Promos
) -> None:
    before = promos.platform.deadlocks()
    made = await brands.brand()
    stores = [await brands.store(made.brand.id) for _ in range(3)]
    for n in range(5):  # all of them wait for one row, and a lock has five seconds
        await asyncio.gather(
            brands.update(made.brand.id, name=f"Brand of wörds {n}"),
            brands.publish(made.brand.id),
            brands.unpublish(made.brand.id),
            brands.store(made.brand.id, f"Sörtiment {n}"),
            *(brands.update_store(store.store.id, name=f"Störe {n}") for store in stores),
        )
    assert promos.platform.deadlocks() == before
    assert (await brands.get(made.brand.id)).brand.stores == 8
