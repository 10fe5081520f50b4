"""How one value of the data model is spelled in a SAD: small rules, each with its name, what it says in words, and how it is written.

`write` takes values as they stand in canonical JSON (None: absent) and gives the texts of a row's elements. What cannot be said is left
out; nothing is invented. How the same elements are read, with the care for strange files that it takes, is the business of
`producers.formats.asycuda_rows`, rule by rule under the same names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from schemas.values import DateOrder

Texts = tuple[str | None, ...]
Values = tuple[Any, ...]
Codes = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one national system spells: its order of dates, and its local codes.

    `codes` leads from a local code to the canonical one, by list (`countries`, `incoterms`, `transport-modes`, `package-kinds`, …), as the
    settings of a source have it; writing goes the other way.
    """

    date_order: DateOrder = "mdy"
    codes: Codes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """One way of spelling: its name, what it does in words, and how values are written by it."""

    name: str
    meaning: str
    write: Callable[[Values, Spelling], Texts]


def _one(name: str, meaning: str, write: Callable[[Any, Spelling], str | None]) -> Rule:
    """Make a rule of one element and one field, which only meets what is there."""
    return Rule(name, meaning, lambda values, spelling: (None if values[0] is None else write(values[0], spelling),))


def _as_it_is(value: Any, _: Spelling) -> str:
    return str(value)


TEXT = _one("text", "as it stands", _as_it_is)
CODE = _one("code", "as it stands", _as_it_is)
WHOLE = _one("whole", "a whole number", _as_it_is)
FLAG = _one("flag", "true or false", lambda value, _: "true" if value else "false")


def code(codes: str) -> Rule:
    """A code of the list `codes`, translated where the system has local ones."""
    return _one(
        f"code of {codes}",
        f"as it stands, or as the table of local {codes} says",
        lambda value, spelling: next((local for local, known in spelling.codes.get(codes, {}).items() if known == value), value),
    )


def decimal(places: int) -> Rule:
    """A decimal with up to `places` digits behind the point, as the data model has it."""
    return _one(f"decimal {places}", f"a plain decimal, {places} places at most", _as_it_is)


def _write_list(values: Values, _: Spelling) -> Texts:
    return ("/".join(values[0]) if values[0] else None,)


VEHICLES = Rule("vehicles", "several in one element, with / between them", _write_list)
SEALS = Rule("seals", "several in one element, with / between them", _write_list)


def _write_day(value: str, spelling: Spelling) -> str:
    day = date.fromisoformat(value)
    if spelling.date_order == "dmy":
        return day.strftime("%d/%m/%Y")
    if spelling.date_order == "ymd":
        return day.isoformat()
    return f"{day.month}/{day.day}/{day.year % 100:02}" if 2000 <= day.year < 2100 else f"{day.month}/{day.day}/{day.year}"


DAY = _one("day", "M/D/YY as ASYCUDA's own exports have it, or in the order of the system", _write_day)

# -- What stands in several elements


def _write_registration(values: Values, spelling: Spelling) -> Texts:
    number, year, registered_on = values
    parts = re.match(r"^([A-Z])([0-9]+)$", number or "")
    serial, digits = (parts[1], parts[2]) if parts else (None, number)
    day = None if registered_on is None else _write_day(registered_on, spelling)
    told = registered_on is not None and int(registered_on[:4]) == year
    return (serial, digits, day, None if told or year is None else str(year))


REGISTRATION = Rule(
    "registration",
    "serial letter and number in one; the year of the assessment notice, or of the date where it tells none",
    _write_registration,
)


def _write_type(values: Values, _: Spelling) -> Texts:
    parts = re.match(r"^([A-Z]+)([0-9])$", values[0] or "")
    return (parts[1], parts[2]) if parts else (values[0], None)


DECLARATION_TYPE = Rule("declaration type", "type and general procedure in one: IM and 4 are IM4", _write_type)

FLOW = Rule(
    "flow",
    "E is an export, I an import; types TR and T…, procedure 8, or a transit document without a type a transit; without a flow the type "
    "says it (EX, IM), without both the procedure of the items",
    lambda values, _: ({"export": "E", "import": "I"}.get(values[0]), None, None),
)


def _write_commodity(values: Values, _: Spelling) -> Texts:
    hs_code, national = values[0], values[1] or ""
    if hs_code is None:  # national digits alone are no commodity code
        return (None, national or None)
    return (hs_code + national[:2], national[2:] or None)


COMMODITY = Rule(
    "commodity",
    "six digits of the Harmonized System, then the national ones, two of them in the commodity code and the rest in the precision",
    _write_commodity,
)

DESCRIPTION = Rule(
    "description",
    "the trader's words, or the tariff's where there are none",
    lambda values, spelling: (*TEXT.write(values, spelling), None),
)

AMOUNT_TWICE = Rule(
    "amount, told twice",
    "the first that is there, up to 4 places; written to both",
    lambda values, _: (values[0], values[0]),
)

SUMMARY, REFERENCE = "Summary_declaration", "Previous_document_reference"


def _write_previous(values: Values, spelling: Spelling) -> Texts:
    documents = list(values[0] or ())
    summary = documents.pop(0)["reference"] if documents and documents[0]["type_code"] == SUMMARY else None
    told = (each["reference"] if each["type_code"] == REFERENCE else f"{each['type_code']}:{each['reference']}" for each in documents)
    return (summary, "; ".join(told) or None)


PREVIOUS = Rule(
    "previous documents",
    "the summary declaration, then references as TYPE:reference with ; between them; without a type, the element's name is it",
    _write_previous,
)


def _write_guarantee(values: Values, _: Spelling) -> Texts:
    if values[0] is None:
        return (None, None)
    reference = values[0].get("reference")
    return (values[0]["type_code"] + (f":{reference}" if reference else ""), values[0].get("amount"))


GUARANTEE = Rule("guarantee", "its type, or TYPE:reference, and its amount; a SAD has no currency for it", _write_guarantee)
