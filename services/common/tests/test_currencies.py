"""Currencies and their decimals."""

from __future__ import annotations

import pytest

from services.common.currencies import DECIMALS, is_currency, require_currency
from services.common.errors import DomainError


def test_decimals_are_those_of_iso_4217() -> None:
    assert {code: DECIMALS[code] for code in ("USD", "EUR", "JPY", "KRW", "KWD", "TND", "HUF")} == {
        "USD": 2,
        "EUR": 2,
        "JPY": 0,
        "KRW": 0,
        "KWD": 3,
        "TND": 3,
        "HUF": 2,
    }
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in DECIMALS)
    assert len(DECIMALS) > 150


@pytest.mark.parametrize("code", ["", "usd", "UDS", "XXX", "DEM", "US"])
def test_what_nobody_pays_with_is_no_currency(code: str) -> None:
    with pytest.raises(ValueError, match="no currency"):
        is_currency(code)


def test_another_currency_than_the_programmes_is_refused() -> None:
    require_currency("JPY", "JPY", of="vouchers")
    with pytest.raises(DomainError) as caught:
        require_currency("USD", "JPY", of="vouchers")
    assert caught.value.reason == "CURRENCY_NOT_SUPPORTED"
    assert caught.value.metadata == {"currency_code": "USD", "expected": "JPY"}
