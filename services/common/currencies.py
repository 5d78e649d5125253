"""The currencies of ISO 4217, and how many decimals each has: an amount is a whole number of minor units."""

from __future__ import annotations

from collections.abc import Mapping

from services.common.errors import DomainError

_TWO = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP
    CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
    MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE
    SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD XCG YER ZAR ZMW
    ZWG
"""
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"

DECIMALS: Mapping[str, int] = {
    code: decimals for codes, decimals in ((_NONE, 0), (_TWO, 2), (_THREE, 3)) for code in codes.split()
}
"""How many decimals a currency has that people pay with: 2 for `USD`, where 500 minor units are $5.00."""


def is_currency(code: str) -> str:
    """Returns a code of ISO 4217 as it is. Raises ValueError for what is none."""
    if code not in DECIMALS:
        raise ValueError(f"{code} is no currency of ISO 4217 that people pay with")
    return code


def currency_not_supported(given: str, expected: str, *, of: str) -> DomainError:
    """The programme runs in another currency; `of` is what must be in it, such as `receipts`."""
    return DomainError(
        "CURRENCY_NOT_SUPPORTED", f"{of} must be in {expected}", currency_code=given, expected=expected
    )


def require_currency(given: str, expected: str, *, of: str) -> None:
    """Raises CURRENCY_NOT_SUPPORTED for another currency than the programme's."""
    if given != expected:
        raise currency_not_supported(given, expected, of=of)
