"""Staff bring codes as a file, print them, take them away and look into one, over REST."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.platform import Platform, refusal, unique

LIMIT = 1 << 20


async def _new_set(live: Platform) -> str:
    body = {"name": "Leaflets", "import_only": True, "benefit": {"percent_off": 10}}
    made = await live.ok("POST", "/v1/code-sets", body, token=live.admin, key=unique())
    set_id: str = made["code_set"]["id"]
    return set_id


async def _hand_in(live: Platform, set_id: str, content: bytes, key: str) -> Any:
    headers = {
        "authorization": f"Bearer {live.admin}",
        "idempotency-key": key,
        "content-type": "text/csv",
    }
    return await live.http.post(f"/v1/code-sets/{set_id}/imports", content=content, headers=headers)


async def _rows(live: Platform, path: str) -> list[dict[str, str]]:
    answer = await live.call("GET", path, token=live.admin)
    assert answer.status_code == 200, answer.text
    *rows, last = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert list(last.values())[:2] == ["#end", str(len(rows))], "the file is cut"
    return rows


@pytest.mark.covers(
    "C1 CodeFileService.CreateCodeImport",
    "C1 CodeFileService.ExportRefusedLines",
    "C1 CodeFileService.ExportCodes",
    "C1 CodeFileService.GetCodeSheet",
    "C1 CodeFileService.ListCodeEvents",
    "C1 CodeFileService.LookUpCode",
    "C1 CodeFileService.VoidCode",
)
async def test_a_file_of_codes_comes_in_is_printed_used_and_looked_into(live: Platform, till: str) -> None:
    set_id, key = await _new_set(live), unique()
    first, second = (f"LEAF-{unique()[-6:]}-{number}" for number in (1, 2))
    content = f"code,uses\n{first},\n{second},5\n=1+1,\n".encode()
    made = (await _hand_in(live, set_id, content, key)).json()["code_import"]
    assert (made["lines"], made["imported"], made["refused"]) == (3, 2, 1)
    assert (await _hand_in(live, set_id, content, key)).json()["code_import"] == made
    [refused] = await _rows(live, f"/v1/code-imports/{made['id']}:exportRefusedLines")
    assert (refused["line"], refused["outcome"]) == ("4", "CHARACTERS_NOT_VALID")
    assert refused["code"] == "'=1+1"
    listed = await live.ok("GET", f"/v1/code-sets/{set_id}/imports", token=live.admin)
    assert listed["code_imports"] == [made]

    exported = await _rows(live, f"/v1/code-sets/{set_id}/codes:export")
    assert [row["uses_allowed"] for row in exported] == ["1", "5"]
    sheet = await live.call("GET", f"/v1/code-sets/{set_id}/sheet?max_codes=1", token=live.admin)
    assert (sheet.status_code, sheet.headers["content-type"]) == (200, "application/pdf")
    assert sheet.content.startswith(b"%PDF-")
    last = sheet.headers["x-last-code-id"]
    assert last == exported[0]["id"]
    path = f"/v1/code-sets/{set_id}/sheet?paper=PAPER_SIZE_LETTER&after_code_id={last}"
    assert "x-last-code-id" not in (await live.call("GET", path, token=live.admin)).headers
    for kind, content_type in (("PNG", "image/png"), ("SVG", "image/svg+xml")):
        image = await live.call("GET", f"/v1/codes/{last}/qr?format=QR_FORMAT_{kind}", token=live.admin)
        assert (image.status_code, image.headers["content-type"]) == (200, content_type)

    sale = {"code": first, "sale_reference": unique()}
    await live.ok("POST", "/v1/codes:redeem", sale, token=till)
    found = await live.ok("POST", "/v1/codes:lookUp", {"code": first.lower()}, token=live.admin)
    assert (found["code"]["state"], found["code_set_name"]) == ("CODE_STATE_USED", "Leaflets")
    history = await live.ok("GET", f"/v1/codes/{found['code']['id']}/history", token=live.admin)
    assert [one["kind"].removeprefix("CODE_EVENT_KIND_") for one in history["events"]] == ["MADE", "REDEEMED"]
    other = exported[1]["id"]
    voided = await live.ok("POST", f"/v1/codes/{other}:void", {"note": "Lost"}, token=live.admin)
    assert voided["code"]["state"] == "CODE_STATE_VOID"
    refusal_ = await live.refused(
        "POST", "/v1/codes:redeem", {"code": second, "sale_reference": unique()}, token=till
    )
    assert refusal_.reason == "CODE_VOID"
    void = await live.ok("GET", f"/v1/code-sets/{set_id}/codes?state=CODE_STATE_VOID", token=live.admin)
    assert [one["id"] for one in void["codes"]] == [other]


@pytest.mark.covers("C1 CodeFileService.CreateCodeImport")
async def test_a_file_that_is_too_large_is_413_and_comes_in_parts(live: Platform) -> None:
    set_id, mark = await _new_set(live), unique()[-6:]
    lines = [f"LARGE-{mark}-{number:060d}"[:64] for number in range(20_000)]
    whole = "\n".join(["code", *lines]).encode()
    assert len(whole) > LIMIT
    refused = refusal(await _hand_in(live, set_id, whole, unique()))
    assert (refused.status, refused.reason) == (413, "REQUEST_TOO_LARGE")
    part = "\n".join(["code", *(f"L{mark}{number:06d}" for number in range(20_000))]).encode()
    made = (await _hand_in(live, set_id, part, unique())).json()["code_import"]
    assert made["imported"] == 20_000
