"""Code lists, each as an annotated type for the models, with its source and version (`SOURCES`).

Countries, currencies and container numbers are checked by the libraries that keep them, transport modes, package kinds and delivery
terms against the bare codes in this package. The long lists (HS, UN/LOCODE, offices) are checked by shape, and by membership once an
administration has loaded its own (`panj codelists load`, which hands them to `load`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Annotated

import pycountry
from iso4217 import Currency
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from stdnum import iso6346

from schemas.codelists import incoterms, package_kinds, transport_modes

COUNTRIES = frozenset(country.alpha_2 for country in pycountry.countries)
CURRENCIES = frozenset(currency.code for currency in Currency)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a list comes from, in which edition."""

    title: str
    edition: str


SOURCES: Mapping[str, Source] = {
    "countries": Source("ISO 3166-1 alpha-2, through pycountry", version("pycountry")),
    "currencies": Source("ISO 4217 alphabetic codes, through iso4217", version("iso4217")),
    "containers": Source("ISO 6346 check digit, through python-stdnum", version("python-stdnum")),
    "transport-modes": Source(transport_modes.TITLE, transport_modes.EDITION),
    "package-kinds": Source(package_kinds.TITLE, package_kinds.EDITION),
    "incoterms": Source(incoterms.TITLE, incoterms.EDITION),
}

LOADABLE = ("hs", "offices", "unlocode")
_loaded: dict[str, frozenset[str]] = {}


def load(lists: Mapping[str, frozenset[str]]) -> None:
    """Take an administration's own lists, by name (`hs`: six digits; `offices`; `unlocode`); what is not given is checked by shape only."""
    unknown = set(lists) - set(LOADABLE)
    if unknown:
        raise ValueError(f"no such code list: {', '.join(sorted(unknown))}; there are {', '.join(LOADABLE)}")
    _loaded.clear()
    _loaded.update(lists)


def loaded() -> Mapping[str, frozenset[str]]:
    """The lists that were loaded, by name."""
    return dict(_loaded)


def _unknown(name: str, code: str) -> PydanticCustomError:
    return PydanticCustomError("code_unknown", "not in the code list {list}", {"list": name, "code": code})


def _country(code: str) -> str:
    if code not in COUNTRIES:
        raise _unknown("countries", code)
    return code


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        raise _unknown("currencies", code)
    return code


def _incoterm(code: str) -> str:
    if code not in incoterms.CODES:
        raise _unknown("incoterms", code)
    return code


def _package_kind(code: str) -> str:
    if code not in package_kinds.CODES:
        raise _unknown("package-kinds", code)
    return code


def _transport_mode(code: str) -> str:
    if code not in transport_modes.CODES:
        raise _unknown("transport-modes", code)
    return code


def _hs(code: str) -> str:
    if "hs" in _loaded and code not in _loaded["hs"]:
        raise _unknown("hs", code)
    return code


def _office(code: str) -> str:
    if "offices" in _loaded and code not in _loaded["offices"]:
        raise _unknown("offices", code)
    return code


def _unlocode(code: str) -> str:
    if "unlocode" in _loaded and code not in _loaded["unlocode"]:
        raise _unknown("unlocode", code)
    return code


_check_digit = lru_cache(maxsize=16_384)(iso6346.calc_check_digit)  # 6 µs each; a container comes again with every event about it


def _container(number: str) -> str:
    if number[10] != _check_digit(number[:10]):
        raise PydanticCustomError("container_invalid", "not a container number with its check digit (ISO 6346)")
    return number


CountryCode = Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2"), AfterValidator(_country)]
CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217"), AfterValidator(_currency)]
Incoterm = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="Incoterms"), AfterValidator(_incoterm)]
PackageKind = Annotated[str, Field(pattern=r"^[0-9A-Z]{2}$", description="UN/ECE Recommendation 21"), AfterValidator(_package_kind)]
TransportMode = Annotated[str, Field(pattern=r"^[0-9]$", description="UN/ECE Recommendation 19"), AfterValidator(_transport_mode)]
ContainerNumber = Annotated[
    str, Field(pattern=r"^[A-Z]{3}[JRUZ][0-9]{7}$", description="ISO 6346, with its check digit"), AfterValidator(_container)
]
HsCode = Annotated[str, Field(pattern=r"^[0-9]{6}$", description="WCO Harmonized System, six digits"), AfterValidator(_hs)]
OfficeCode = Annotated[
    str,
    Field(pattern=r"^[A-Z0-9][A-Z0-9-]{1,16}$", description="a customs office, as its administration codes it"),
    AfterValidator(_office),
]
UnLocode = Annotated[str, Field(pattern=r"^[A-Z]{2}[A-Z2-9]{3}$", description="UN/LOCODE"), AfterValidator(_unlocode)]
