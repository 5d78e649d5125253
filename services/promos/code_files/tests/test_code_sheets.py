"""Codes leave Scrip as a file, as images, and on paper."""

from __future__ import annotations

import codecs
import time
from collections import Counter
from typing import Any

import grpc
import pytest
from scrip.common.v1 import qr_pb2
from scrip.promos.v1 import code_file_pb2, code_pb2

from services.common.caller import Caller
from services.promos.code_files import sheet
from services.promos.code_files.sheet import A4, LETTER, Paper, SheetCode
from services.promos.code_files.tests.conftest import Brand
from services.promos.code_files.tests.pdf import pages
from services.promos.tests.files_help import Files, handed_out, new_set, some_codes
from services.promos.tests.support import Promos, at_once
from tests.inprocess import bearer, reason, refusal


@pytest.mark.covers("C1 CodeFileService.GetCodeSheet")
async def test_a_scanner_reads_each_code_of_a_sheet(promos: Promos, files: Files) -> None:
    codes = some_codes(30)
    code_set_id = await handed_out(promos, codes, name="Summer sale")
    listed = await files.codes(code_set_id)
    await files.void(listed[0].id)
    pdf, last = await files.sheet(code_set_id)
    assert last == ""
    sheets = list(pages(pdf))
    assert len(sheets) == 2, "five rows of four on a page"
    assert sum((one.scan() for one in sheets), Counter()) == Counter(one.code for one in listed[1:])
    texts = [text for one in sheets for text in one.texts]
    assert texts.count("Summer sale - 1") == 1
    assert {one.code_display for one in listed[1:]} <= set(texts)


@pytest.mark.parametrize("paper", [A4, LETTER])
@pytest.mark.parametrize("columns", [1, 3, 8])
@pytest.mark.parametrize("length", [4, 13, 64])
def test_codes_of_any_length_are_whole_on_any_paper(paper: Paper, columns: int, length: int) -> None:
    texts = [f"{number:03d}".rjust(length, "Z") for number in range(columns + 2)]
    drawn = sheet.draw(
        [SheetCode(text, text) for text in texts],
        title="Größe \N{FULLWIDTH LATIN CAPITAL LETTER A}",
        plain_title="plain",
        paper=paper,
        columns=columns,
    )
    found = list(pages(drawn))
    assert all(abs(one.width - paper.width * 72 / 25.4) < 0.1 for one in found)
    assert sum((one.scan() for one in found), Counter()) == Counter(texts)
    written = "".join(text for one in found for text in one.texts if "plain" not in text)
    assert written == "".join(texts)
    for one in found:
        assert all(x > 0 and x + w < one.width and y - h > 0 for x, y, w, h in one.rectangles)


@pytest.mark.parametrize(
    "name",
    [
        "Größe 43",
        "10 € \N{EN DASH} Été",
        "Ελλάδα",  # as in Greece
        "عرض الصيف",
        "夏のセール",
        "Sale 夏",
        "Žluť",
    ],
)
async def test_a_set_of_any_name_can_be_printed(promos: Promos, files: Files, name: str) -> None:
    codes = some_codes(2)
    code_set_id = await handed_out(promos, codes, name=name)
    pdf, _ = await files.sheet(code_set_id)
    [page] = pages(pdf)
    assert page.scan() == Counter(codes)
    known_to_pdf = name in {"Größe 43", "10 € \N{EN DASH} Été"}
    [printed] = [text for text in page.texts if text.endswith(" - 1")]
    assert printed.encode("latin-1").decode("cp1252") == f"{name if known_to_pdf else code_set_id} - 1"
    title = (codecs.BOM_UTF16_BE + name.encode("utf-16-be")).hex()
    assert f"/Title <{title}>".encode() in pdf, "viewers show the whole name"


async def test_a_large_set_is_printed_in_several_calls(promos: Promos, files: Files) -> None:
    code_set_id = await handed_out(promos, some_codes(7))
    found: Counter[str] = Counter()
    last, calls = "", 0
    while last or not calls:
        pdf, last = await files.sheet(code_set_id, max_codes=3, after_code_id=last)
        found += next(pages(pdf)).scan()
        calls += 1
    assert calls == 3
    assert found == Counter(one.code for one in await files.codes(code_set_id))
    assert await reason(files.sheet(code_set_id, after_code_id="x")) == "VALIDATION_FAILED"


async def test_a_set_without_codes_is_an_empty_sheet(promos: Promos, files: Files) -> None:
    pdf, last = await files.sheet(await new_set(promos, name="Nothing yet"))
    [page] = pages(pdf)
    assert (list(page.texts), page.rectangles, last) == (["Nothing yet"], [], "")


@pytest.mark.parametrize(
    "fields",
    [{"max_codes": -1}, {"max_codes": 501}, {"columns": 9}, {"columns": -1}, {"paper": 7}],
)
async def test_sheets_have_bounds(promos: Promos, files: Files, fields: dict[str, Any]) -> None:
    assert await reason(files.sheet(await new_set(promos), **fields)) == "VALIDATION_FAILED"


@pytest.mark.parametrize("purpose", ["VOUCHER", "DISCOUNT"])
async def test_only_codes_for_whoever_brings_them_are_printed(
    promos: Promos, files: Files, purpose: Any
) -> None:
    code_set_id = await new_set(promos, purpose)
    name, status, metadata = await refusal(files.sheet(code_set_id))
    assert (name, status) == ("CODE_SET_WRONG_PURPOSE", grpc.StatusCode.FAILED_PRECONDITION)
    assert metadata == {"code_set_id": str(code_set_id), "purpose": purpose}


async def test_who_would_wait_too_long_for_a_sheet_is_refused_at_once(
    promos: Promos, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_set_id = await handed_out(promos, some_codes(1))
    drawing: list[int] = []
    most: list[int] = []

    def slowly(*arguments: Any, **options: Any) -> bytes:
        drawing.append(1)
        most.append(len(drawing))
        time.sleep(0.3)
        drawing.pop()
        return b"%PDF-"

    monkeypatch.setattr(sheet, "draw", slowly)
    replies, refused = await at_once(files.sheet(code_set_id) for _ in range(20))
    assert len(replies) >= 4
    assert refused == {"OVERLOADED": 20 - len(replies)}
    assert max(most) == 1


@pytest.mark.covers("C1 CodeFileService.ExportCodes")
async def test_an_export_has_every_code_once(promos: Promos, files: Files) -> None:
    code_set_id = await handed_out(promos, some_codes(2_500))
    listed = await files.codes(code_set_id, page_size=200)
    await files.void(listed[1].id)
    rows = await files.export(code_set_id)
    assert len({row["code"] for row in rows}) == len(rows) == 2_500
    assert [row["id"] for row in rows[:200]] == [one.id for one in listed]
    assert rows[0] == {
        "id": listed[0].id,
        "code": listed[0].code,
        "code_display": listed[0].code_display,
        "state": "USABLE",
        "owner_member_id": "",
        "order_id": "",
        "uses": "0",
        "uses_allowed": "1",
        "expires_at": "",
        "assigned_at": "",
        "voided_at": "",
    }
    assert rows[1]["state"] == "VOID"
    assert rows[1]["voided_at"]
    void = await files.export(code_set_id, state=code_file_pb2.CODE_STATE_VOID)
    assert [row["id"] for row in void] == [listed[1].id]


@pytest.mark.covers("C1 CodeService.GetCodeQr")
async def test_staff_and_the_brand_s_manager_get_the_qr_code_of_a_code(
    promos: Promos, files: Files, brand: Brand, other_brand: Brand
) -> None:
    code_set_id = await handed_out(promos, some_codes(1), brand_id=brand.id)
    [code] = await files.codes(code_set_id)
    waiting = await new_set(promos, "DISCOUNT", brand_id=brand.id, quantity=1)
    await promos.until_made(waiting, 1)
    [ready] = await files.codes(waiting)

    def image(token: str, code_id: str, kind: qr_pb2.QrFormat.ValueType) -> Any:
        request = code_pb2.GetCodeQrRequest(code_id=code_id, format=kind)
        return promos.codes.GetCodeQr(request, metadata=bearer(token))

    for token in (files.token, brand.files.token):
        svg = await image(token, code.id, qr_pb2.QR_FORMAT_SVG)
        assert svg.content_type == "image/svg+xml"
        png = await image(token, code.id, qr_pb2.QR_FORMAT_PNG)
        assert png.data.startswith(b"\x89PNG")
        assert await reason(image(token, ready.id, qr_pb2.QR_FORMAT_PNG)) == "CODE_NOT_VALID"
    stranger = image(other_brand.files.token, code.id, qr_pb2.QR_FORMAT_PNG)
    assert await reason(stranger) == "CODE_NOT_VALID"


async def test_who_was_handed_codes_is_audited(
    promos: Promos, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_set_id = await handed_out(promos, some_codes(1))
    [code] = await files.codes(code_set_id)
    kept: list[tuple[str, str]] = []

    async def record(connection: Any, actor: Caller, action: str, target: object, **details: object) -> None:
        kept.append((action, str(target)))
        assert code.code not in str(details)

    monkeypatch.setattr("services.common.audit.record", record)
    await files.export(code_set_id)
    await files.sheet(code_set_id)
    await files.upload(code_set_id, f"code\n{some_codes(1)[0]}\n")
    await files.void(code.id)
    of_set = ["codes.exported", "codes.printed", "codes.imported"]
    assert kept == [*((action, str(code_set_id)) for action in of_set), ("code.voided", code.id)]
