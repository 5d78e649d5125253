"""A code is shown as it is printed, and found however it is typed."""

from __future__ import annotations

import io
from collections import Counter
from uuid import UUID

import pytest
import zxingcpp
from PIL import Image
from scrip.common.v1 import qr_pb2
from scrip.promos.v1 import code_pb2

from services.promos.code_files.tests.pdf import pages
from services.promos.tests.claims_help import Claims
from services.promos.tests.code_set_help import made_set, texts_of
from services.promos.tests.files_help import Files, new_set, some_codes
from services.promos.tests.support import Promos
from tests.inprocess import bearer


async def scanned(promos: Promos, code_id: str, token: str) -> str:
    """Returns what a scanner reads in the QR image of a code."""
    request = code_pb2.GetCodeQrRequest(code_id=code_id, format=qr_pb2.QR_FORMAT_PNG)
    image = await promos.codes.GetCodeQr(request, metadata=bearer(token))
    [found] = zxingcpp.read_barcodes(Image.open(io.BytesIO(image.data)))
    return found.text


@pytest.mark.covers("C1 CodeFileService.CreateCodeImport", "C1 CodeService.GetCodeQr")
async def test_imported_codes_are_shown_as_the_retailer_printed_them(promos: Promos, files: Files) -> None:
    mark = some_codes(1)[0]
    written = {
        f"OIL-2024-{mark}": (f"OIL-2024-{mark}", f"0112024{mark}"),
        f"  loyal {mark}": (f"LOYAL {mark}", f"10YA1{mark}"),
        f"LU\u2013{mark}": (f"LU-{mark}", f"1U{mark}"),
        f"PLAIN{mark}"[:12]: (f"PLAIN{mark}"[:12], f"P1A1N{mark}"[:12]),
        f"{mark}KMNP"[-12:]: (f"{mark}KMNP"[-12:],) * 2,
    }
    code_set_id = await new_set(promos, name="Leaflets of 2024")
    done = await files.upload(code_set_id, "code\n" + "\n".join(written))
    assert (done.imported, done.refused) == (5, 0)
    shown = [printed for printed, _ in written.values()]
    codes = await files.codes(code_set_id)
    assert [one.code for one in codes] == [one.code_display for one in codes] == shown
    exported = await files.export(code_set_id)
    assert [row["code"] for row in exported] == [row["code_display"] for row in exported] == shown
    assert sorted(await texts_of(promos, str(code_set_id))) == sorted(read for _, read in written.values())
    for code, (printed, read) in zip(codes, written.values(), strict=True):
        assert await scanned(promos, code.id, files.token) == printed
        for typed in (printed, printed.lower(), read):
            assert (await files.find(typed)).code == code
    [sheet] = pages((await files.sheet(code_set_id))[0])
    assert sheet.scan() == Counter(shown)
    assert set(shown) <= set(sheet.texts)
    for code in codes[:2]:
        assert (await promos.redeem(code.code.lower(), "R-1")).code_id == code.id
    assert (await files.void(codes[2].id)).code == shown[2]
    again = await files.upload(code_set_id, f"code\n0il 2O24 {mark}\n")
    assert [row["outcome"] for row in await files.refused(again.id)] == ["EXISTS"]


async def test_codes_of_a_pattern_are_shown_with_its_letters(promos: Promos, files: Files) -> None:
    made = await made_set(promos, pattern="oil-######@@@@@", quantity=1)
    [stored] = await texts_of(promos, made.id)
    assert stored.startswith("011")
    printed = f"OIL{stored[3:]}"
    [code] = await files.codes(UUID(made.id))
    assert (code.code, code.code_display) == (printed, f"OIL-{stored[3:]}")
    assert await scanned(promos, code.id, files.token) == printed
    assert (await files.find(printed)).code == code
    assert (await promos.verify(printed)).code_id == code.id


async def test_a_claimed_code_is_shown_with_the_letters_of_its_pattern(promos: Promos) -> None:
    claims = await Claims.of(promos)
    discount = await claims.open(pattern="OLIVE-######@@@@@", quantity=1)
    [token] = await claims.sharing(1)
    claim = await claims.claim(discount.id, token)
    assert claim.code.startswith("OLIVE")
    assert claim.code_display == f"OLIVE-{claim.code[5:]}"
    assert await scanned(promos, claim.code_id, token) == claim.code
    assert (await promos.verify(claim.code)).code_id == claim.code_id
    [seen] = (await claims.claimed()).claims
    assert (seen.code, seen.code_display) == (claim.code, claim.code_display)
