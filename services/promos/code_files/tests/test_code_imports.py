"""Staff bring codes that exist elsewhere, as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.api import httpbody_pb2
from scrip.promos.v1 import code_file_pb2

from services.common.csv_files import MOST_BYTES, MOST_LINES
from services.common.ids import new_id
from services.promos.code_files import import_files
from services.promos.code_files.tests.conftest import Brand
from services.promos.tests.files_help import Files, handed_out, new_set, some_codes
from services.promos.tests.support import Promos, at_once
from tests.inprocess import bearer, eventually, reason, refusal, refused_status

COUNTS = "SELECT ARRAY[wanted, voided, made] FROM code_sets WHERE id = %(id)s"


@pytest.mark.covers(
    "C1 CodeFileService.CreateCodeImport",
    "C1 CodeFileService.GetCodeImport",
    "C1 CodeFileService.ExportRefusedLines",
)
async def test_each_line_is_taken_or_refused_on_its_own(promos: Promos, files: Files) -> None:
    taken = await handed_out(promos, [elsewhere := some_codes(1)[0]])
    code_set_id = await new_set(promos, uses_allowed=3)
    mark = some_codes(1)[0]
    lines = [
        (f"{mark}-A,", ""),
        (f" {mark.lower()} b ,7", ""),
        (f"{mark}.c_1,1000000", ""),
        (f"{mark}A,", "REPEATED"),
        (f"{mark}_O,", ""),
        (f"{mark}_0,", "REPEATED"),
        ("ABC,", "TOO_SHORT"),
        ("A-B-C,", "TOO_SHORT"),
        (",5", "TOO_SHORT"),
        (f"{'x' * 65},", "TOO_LONG"),
        (f"{'x' * 60}-----,", "TOO_LONG"),
        ("=cmd|' /C calc'!A0,", "CHARACTERS_NOT_VALID"),
        ("ABCD+EFGH,", "CHARACTERS_NOT_VALID"),
        ("ÄBCDEF,", "CHARACTERS_NOT_VALID"),
        ("ﬁnal-code,", "CHARACTERS_NOT_VALID"),  # becomes FI in capitals
        (f"{mark}D,0", "USES_NOT_VALID"),
        (f"{mark}D,-1", "USES_NOT_VALID"),
        (f"{mark}D,1000001", "USES_NOT_VALID"),
        (f"{mark}D,1.5", "USES_NOT_VALID"),
        (f"{mark}D,many", "USES_NOT_VALID"),
        (f"{mark}D", "CELLS_NOT_VALID"),
        (f"{mark}D,1,2", "CELLS_NOT_VALID"),
        (f"{elsewhere},", "EXISTS"),
    ]
    done = await files.upload(code_set_id, "code,uses\n" + "\n".join(line for line, _ in lines))
    assert (done.code_set_id, done.lines, done.imported, done.refused) == (str(code_set_id), 23, 4, 19)
    assert await files.get_import(done.id) == done
    codes = await files.codes(code_set_id)
    assert [(one.code, one.uses_allowed) for one in codes] == [
        (f"{mark}-A", 3),
        (f"{mark} B", 7),
        (f"{mark}.C_1", 1_000_000),
        (f"{mark}_O", 3),
    ]
    assert {one.state for one in codes} == {code_file_pb2.CODE_STATE_USABLE}
    report = await files.refused(done.id)
    expected = [(str(number), outcome) for number, (_, outcome) in enumerate(lines, 2) if outcome]
    assert [(row["line"], row["outcome"]) for row in report] == expected
    by_line = {row["line"]: row for row in report}
    assert by_line["13"]["code"] == "'=cmd|' /C calc'!A0", "no formula in a spreadsheet"
    assert by_line["23"] == {"line": "23", "code": f"{mark}D", "uses": "1,2", "outcome": "CELLS_NOT_VALID"}
    assert await promos.value(COUNTS, id=code_set_id) == [4, 0, 4]
    assert await promos.value(COUNTS, id=taken) == [1, 0, 1]


async def test_a_set_that_is_being_made_counts_imported_codes_too(promos: Promos, files: Files) -> None:
    code_set_id = await new_set(promos, quantity=5)

    async def made() -> None:
        assert await promos.value(COUNTS, id=code_set_id) == [5, 0, 5]

    await eventually(made)
    done = await files.upload(code_set_id, "code\n" + "\n".join(some_codes(3)))
    assert (done.imported, len(await files.codes(code_set_id))) == (3, 8)
    assert await promos.value(COUNTS, id=code_set_id) == [8, 0, 8]


@pytest.mark.covers("C1 CodeFileService.CreateCodeImport")
async def test_a_file_that_comes_again_changes_nothing(promos: Promos, files: Files) -> None:
    code_set_id, key = await new_set(promos), str(new_id())
    content = "code\n" + "\n".join(some_codes(20))
    replies = await asyncio.gather(*(files.upload(code_set_id, content, key=key) for _ in range(8)))
    assert all(reply == replies[0] for reply in replies)
    assert replies[0].imported == 20
    again = await files.upload(code_set_id, content)
    assert (again.imported, again.refused) == (0, 20)
    assert {row["outcome"] for row in await files.refused(again.id)} == {"EXISTS"}
    assert len(await files.codes(code_set_id)) == 20
    other = files.upload(code_set_id, "code\nSOMETHING\n", key=key)
    assert await reason(other) == "IDEMPOTENCY_KEY_REUSED"


async def test_one_file_into_many_sets_at_once_gives_each_code_to_one(promos: Promos, files: Files) -> None:
    codes = some_codes(200)
    sets = [await new_set(promos) for _ in range(10)]
    orders = [codes if number % 2 else codes[::-1] for number in range(10)]
    replies, refused = await at_once(
        files.upload(one, "code\n" + "\n".join(order)) for one, order in zip(sets, orders, strict=True)
    )
    assert not refused
    assert sum(reply.imported for reply in replies) == 200
    for one in sets:
        wanted, voided, made = await promos.value(COUNTS, id=one)
        assert (wanted, voided) == (made, 0)


@pytest.mark.covers("C1 CodeFileService.ListCodeImports")
async def test_imports_are_listed_the_newest_first(promos: Promos, files: Files) -> None:
    code_set_id = await new_set(promos)
    made = [await files.upload(code_set_id, f"code\n{code}\n") for code in some_codes(3)]
    await files.upload(await new_set(promos), f"code\n{some_codes(1)[0]}\n")
    page = await files.imports(code_set_id, page_size=2, with_total=True)
    assert (list(page.code_imports), page.total.count) == ([made[2], made[1]], 3)
    rest = await files.imports(code_set_id, page_size=2, page_token=page.next_page_token)
    assert (list(rest.code_imports), rest.next_page_token) == ([made[0]], "")


@pytest.mark.parametrize(
    "form",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("code", ' "CODE" '.strip()),
        lambda text: "uses," + text.replace("\n", "\n,", 1).rstrip(),
    ],
    ids=["byte order mark", "windows", "blank lines", "quoted capitals", "another order"],
)
async def test_csv_of_any_making_is_taken(promos: Promos, files: Files, form: Callable[[str], str]) -> None:
    code_set_id = await new_set(promos)
    done = await files.upload(code_set_id, form(f"code\n{some_codes(1)[0]}\n"))
    assert (done.lines, done.imported) == (1, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: the header must be code[,uses]"),
        (b"ABCD\n", "line 1: the header"),
        (b"code,code\nABCD,x\n", "line 1: the header"),
        (b"code,price\nABCD,5\n", "line 1: the header"),
        (b"uses\n5\n", "line 1: the header"),
        (b"code\n\n \n", "no lines"),
        (b"code\nABCD\n\xffABCD\n", "line 3: is not UTF-8"),
        ("code\nABCD\n".encode("utf-16"), "is not UTF-8"),
        (b"code\nAB\0CD\n", "line 2: holds a NUL"),
        (b'code\n"ABCD\n', "line 2: is not CSV"),
        (b"code\n" + b"ABCD\n" * (MOST_LINES + 1), "there may be 20000 lines"),
        (b"code\n" + b"x" * MOST_BYTES, "1048576 bytes"),
    ],
)
async def test_what_is_no_such_file_is_refused_whole(
    promos: Promos, files: Files, content: bytes, said: str
) -> None:
    status, _ = await refused_status(files.upload(await new_set(promos), content))
    assert "file.data" in status.message
    assert said in status.message


async def test_only_csv_with_a_key_is_taken(promos: Promos, files: Files) -> None:
    code_set_id = await new_set(promos)
    for content_type in ("", "application/json", "text/csvx"):
        call = files.upload(code_set_id, "code\nABCD\n", content_type=content_type)
        assert await reason(call) == "VALIDATION_FAILED"
    file = httpbody_pb2.HttpBody(content_type="text/csv", data=b"code\nABCD\n")
    request = code_file_pb2.CreateCodeImportRequest(code_set_id=str(code_set_id), file=file)
    call = files.stub.CreateCodeImport(request, metadata=bearer(files.token))
    assert await reason(call) == "IDEMPOTENCY_KEY_REQUIRED"
    request = code_file_pb2.CreateCodeImportRequest(code_set_id=str(code_set_id))
    call = files.stub.CreateCodeImport(request, metadata=bearer(files.token, idempotency_key="x"))
    assert await reason(call) == "VALIDATION_FAILED"


@pytest.mark.parametrize("purpose", ["VOUCHER", "CAMPAIGN", "DISCOUNT"])
async def test_orders_campaigns_and_discounts_take_no_codes_from_files(
    promos: Promos, files: Files, purpose: Any
) -> None:
    code_set_id = await new_set(promos, purpose)
    if purpose == "CAMPAIGN":  # of one that exists, for a campaign's codes are counted nowhere
        code_set_id = UUID((await promos.campaign()).id)
    name, status, metadata = await refusal(files.upload(code_set_id, "code\nABCD-EFGH\n"))
    assert (name, status) == ("CODE_SET_WRONG_PURPOSE", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"code_set_id": str(code_set_id), "purpose": purpose}
    assert await files.codes(code_set_id) == []


async def test_a_set_that_is_full_takes_no_more(promos: Promos, files: Files) -> None:
    code_set_id = await new_set(promos)
    await promos.execute("UPDATE code_sets SET wanted = 9999999 WHERE id = %(id)s", id=code_set_id)
    name, status, metadata = await refusal(files.upload(code_set_id, "code\n" + "\n".join(some_codes(2))))
    assert (name, status) == ("CODE_SET_FULL", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"code_set_id": str(code_set_id)}
    assert await files.codes(code_set_id) == [], "none of them is taken"
    await promos.execute("UPDATE code_sets SET wanted = 0 WHERE id = %(id)s", id=code_set_id)


async def test_a_brand_has_few_tries_at_guessing_the_codes_of_others(
    promos: Promos, files: Files, brand: Brand
) -> None:
    others = await handed_out(promos, some_codes(1))
    [code] = await files.codes(others)
    mine = await new_set(promos, brand_id=brand.id)
    own = await brand.files.upload(mine, f"code\n{some_codes(1)[0]}\n")
    assert own.imported == 1
    for _ in range(10):
        content = "code\n" + "\n".join([*some_codes(3), code.code])
        assert await reason(brand.files.upload(mine, content)) == "CODES_EXIST_ELSEWHERE"
    assert len(await files.codes(mine)) == 1, "nothing of a file that meets codes of others is taken"
    assert await reason(brand.files.upload(mine, f"code\n{code.code}\n")) == "TOO_MANY_REQUESTS"
    assert (await files.upload(mine, f"code\n{code.code}\n")).refused == 1, "the retailer's own staff go on"


async def test_the_imports_of_a_brand_are_its_own(promos: Promos, brand: Brand, other_brand: Brand) -> None:
    done = await brand.files.upload(await new_set(promos, brand_id=brand.id), f"code\n{some_codes(1)[0]}\n")
    for call in (other_brand.files.get_import(done.id), other_brand.files.refused(done.id)):
        assert await reason(call) == "BRAND_NOT_YOURS"


def test_the_longest_file_is_read() -> None:
    content = "code\n" + "\n".join(f"CODE{number:06d}" for number in range(MOST_LINES))
    assert len(import_files.parse(content.encode()).codes) == MOST_LINES
