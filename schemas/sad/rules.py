"""How one value of the data model is spelled in a SAD: small rules, each with both directions in one place.

`read` takes the texts of a row's elements (None: absent or blank) and gives values as they stand in canonical JSON; `write` takes those
and gives texts. Reading raises ValueError with what is wrong, without place or value: the caller knows these. What cannot be said is
left out in both directions; nothing is invented.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

Texts = tuple[str | None, ...]
Values = tuple[Any, ...]
Codes = Mapping[str, Mapping[str, str]]


class DateOrder(StrEnum):
    """In which order a system writes day, month and year."""

    MDY = "mdy"
    DMY = "dmy"
    YMD = "ymd"


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one national system spells: its order of dates (None: unknown, an ambiguous one is refused), and its local codes.

    `codes` leads from a local code to the canonical one, by list (`countries`, `incoterms`, `transport-modes`, `package-kinds`, …);
    writing goes the other way.
    """

    date_order: DateOrder | None = DateOrder.MDY
    codes: Codes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """One way of spelling: its name, what it does in words, and its two directions."""

    name: str
    meaning: str
    read: Callable[[Texts, Spelling], Values]
    write: Callable[[Values, Spelling], Texts]


def _one(name: str, meaning: str, read: Callable[[str, Spelling], Any], write: Callable[[Any, Spelling], str | None]) -> Rule:
    """Make a rule of one element and one field, which only meets what is there."""
    return Rule(
        name,
        meaning,
        lambda texts, spelling: (None if texts[0] is None else read(texts[0], spelling),),
        lambda values, spelling: (None if values[0] is None else write(values[0], spelling),),
    )


# -- Text, codes, flags, lists


def _in_one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


TEXT = _one("text", "as it stands, its lines joined by blanks", lambda text, _: _in_one_line(text), lambda value, _: str(value))


CODE = _one("code", "as it stands", lambda text, _: text, lambda value, _: str(value))


def code(codes: str) -> Rule:
    """A code of the list `codes`, translated where the system has local ones."""
    return _one(
        f"code of {codes}",
        f"as it stands, or as the table of local {codes} says",
        lambda text, spelling: spelling.codes.get(codes, {}).get(text, text),
        lambda value, spelling: next((local for local, known in spelling.codes.get(codes, {}).items() if known == value), value),
    )


def _read_flag(text: str, _: Spelling) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError("true or false")
    return text.lower() == "true"


FLAG = _one("flag", "true or false", _read_flag, lambda value, _: "true" if value else "false")


def _read_list(texts: Texts, _: Spelling) -> Values:
    parts = [_in_one_line(part) for part in re.split("[/;,]", texts[0] or "")]
    return ([part for part in parts if part] or None,)


def _write_list(values: Values, _: Spelling) -> Texts:
    return ("/".join(values[0]) if values[0] else None,)


VEHICLES = Rule("vehicles", "several in one element, with / between them", _read_list, _write_list)
SEALS = Rule("seals", "several in one element, with / between them", _read_list, _write_list)

# -- Numbers and dates


def read_decimal(text: str, places: int) -> str:
    """Give a number as a plain decimal: `1.0623724E7` and `199.0000` are read; past `places` digits it is rounded half to even."""
    try:
        number = Decimal(text.replace(" ", ""))
    except InvalidOperation:
        raise ValueError("a number") from None
    if not number.is_finite() or (number.is_signed() and number):
        raise ValueError("a number that is not below zero")
    if -int(number.as_tuple().exponent) > places:
        number = number.quantize(Decimal(1).scaleb(-places))
    return format(abs(number), "f")


def decimal(places: int) -> Rule:
    """A decimal with up to `places` digits behind the point, as the data model has it."""
    return _one(
        f"decimal {places}",
        f"a plain decimal, {places} places at most",
        lambda text, _: read_decimal(text, places),
        lambda value, _: str(value),
    )


def _read_whole(text: str, _: Spelling) -> int:
    number = Decimal(read_decimal(text, 6))
    if number != int(number):
        raise ValueError("a whole number")
    return int(number)


WHOLE = _one("whole", "a whole number", _read_whole, lambda value, _: str(value))

_DATE = re.compile(r"^(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})$", re.ASCII)
_PLACES = {DateOrder.MDY: (2, 0, 1), DateOrder.DMY: (2, 1, 0), DateOrder.YMD: (0, 1, 2)}
FIRST_YEAR = 1990  # the data model's own; an earlier one is of another calendar, or a mistake


def read_days(text: str) -> dict[DateOrder, date]:
    """Give what a date may mean, by the order in which it would be written; a year of two digits is of this century."""
    found = _DATE.match(text.strip())
    days: dict[DateOrder, date] = {}
    if found is None:
        return days
    for order, places in _PLACES.items():
        spelled = [found[place + 1] for place in places]
        if len(spelled[0]) not in (2, 4) or max(len(spelled[1]), len(spelled[2])) > 2 or (order is DateOrder.YMD) != (len(found[1]) == 4):
            continue
        year, month, day = (int(part) for part in spelled)
        try:
            meant = date(year + 2000 if len(spelled[0]) == 2 else year, month, day)
        except ValueError:
            continue
        if meant.year >= FIRST_YEAR:
            days[order] = meant
    return days


def _read_day(text: str, spelling: Spelling) -> str:
    days = read_days(text)
    if spelling.date_order in days:
        return days[spelling.date_order].isoformat()
    # A year of four digits in front cannot be mistaken, whatever order the system has elsewhere.
    if set(days) == {DateOrder.YMD} or (spelling.date_order is None and len(set(days.values())) == 1):
        return next(iter(days.values())).isoformat()
    if days and spelling.date_order is None:
        raise ValueError("a date that may be read in several ways: state the source's order of dates")
    raise ValueError(f"a date from {FIRST_YEAR} in the order {spelling.date_order or 'mdy, dmy or ymd'}")


def _write_day(value: str, spelling: Spelling) -> str:
    day = date.fromisoformat(value)
    if spelling.date_order is DateOrder.DMY:
        return day.strftime("%d/%m/%Y")
    if spelling.date_order is DateOrder.MDY and 2000 <= day.year < 2100:
        return f"{day.month}/{day.day}/{day.year % 100:02}"  # as ASYCUDA's own exports do
    return f"{day.month}/{day.day}/{day.year}" if spelling.date_order is DateOrder.MDY else day.isoformat()


DAY = _one("day", "M/D/YY, or in the order of the source; ambiguous ones and years before 1990 are refused", _read_day, _write_day)

# -- What stands in several elements


def _read_registration(texts: Texts, spelling: Spelling) -> Values:
    serial, number, day, year = texts
    registered_on = None if day is None else _read_day(day, spelling)
    said = int(registered_on[:4]) if registered_on else None if year is None else _read_whole(year, spelling)
    return (f"{serial or ''}{number}" if number else None, said, registered_on)


def _write_registration(values: Values, spelling: Spelling) -> Texts:
    number, year, registered_on = values
    parts = re.match(r"^([A-Z])([0-9]+)$", number or "")
    serial, digits = (parts[1], parts[2]) if parts else (None, number)
    day = None if registered_on is None else _write_day(registered_on, spelling)
    told = registered_on is not None and int(registered_on[:4]) == year
    return (serial, digits, day, None if told or year is None else str(year))


REGISTRATION = Rule(
    "registration",
    "serial letter and number in one; the year of the date, or of the assessment notice where there is no date",
    _read_registration,
    _write_registration,
)


def _write_type(values: Values, _: Spelling) -> Texts:
    parts = re.match(r"^([A-Z]+)([0-9])$", values[0] or "")
    return (parts[1], parts[2]) if parts else (values[0], None)


DECLARATION_TYPE = Rule(
    "declaration type",
    "type and general procedure in one: IM and 4 are IM4",
    lambda texts, _: ("".join(text for text in texts if text) or None,),
    _write_type,
)

_FLOWS = {"E": "export", "I": "import"}


def _read_flow(texts: Texts, _: Spelling) -> Values:
    flow, transit_document, declaration_type = texts
    if transit_document is not None:
        return ("transit",)
    letter = flow or {"EX": "E", "IM": "I"}.get((declaration_type or "")[:2])
    if letter not in _FLOWS:
        raise ValueError("E or I")
    return (_FLOWS[letter],)


FLOW = Rule(
    "flow",
    "E is an export, I an import, with a transit document a transit; without a flow the type says it (EX, IM)",
    _read_flow,
    lambda values, _: ({"export": "E", "import": "I"}.get(values[0]), None, None),
)


def _read_commodity(texts: Texts, _: Spelling) -> Values:
    commodity = "".join((texts[0] or "").split()).replace(".", "")
    if not commodity:
        return (None, None)
    if not re.fullmatch("[0-9]{6}[0-9A-Z]*", commodity):
        raise ValueError("a commodity code that begins with the six digits of the Harmonized System")
    return (commodity[:6], commodity[6:] + (texts[1] or "") or None)


def _write_commodity(values: Values, _: Spelling) -> Texts:
    hs_code, national = values[0] or "", values[1] or ""
    return (hs_code + national[:2] or None, national[2:] or None)


COMMODITY = Rule(
    "commodity",
    "six digits of the Harmonized System, then the national ones, two of them in the commodity code and the rest in the precision",
    _read_commodity,
    _write_commodity,
)

DESCRIPTION = Rule(
    "description",
    "the trader's words, or the tariff's where there are none",
    lambda texts, spelling: TEXT.read((texts[0] if texts[0] is not None else texts[1],), spelling),
    lambda values, spelling: (*TEXT.write(values, spelling), None),
)

AMOUNT_TWICE = Rule(
    "amount, told twice",
    "the first that is there; written to both",
    lambda texts, _: (next((read_decimal(text, 4) for text in texts if text is not None), None),),
    lambda values, _: (values[0], values[0]),
)

SUMMARY, REFERENCE = "Summary_declaration", "Previous_document_reference"
_TYPED = re.compile(r"^([A-Z0-9]{1,10}):(\S.*)$", re.DOTALL)


def _read_previous(texts: Texts, spelling: Spelling) -> Values:
    documents = [] if texts[0] is None else [{"type_code": SUMMARY, "reference": _in_one_line(texts[0])}]
    for part in [_in_one_line(part) for part in (texts[1] or "").split(";")]:
        typed = _TYPED.match(part)
        if part:
            documents.append({"type_code": typed[1], "reference": typed[2]} if typed else {"type_code": REFERENCE, "reference": part})
    return (documents or None,)


def _write_previous(values: Values, spelling: Spelling) -> Texts:
    documents = list(values[0] or ())
    summary = documents.pop(0)["reference"] if documents and documents[0]["type_code"] == SUMMARY else None
    told = (each["reference"] if each["type_code"] == REFERENCE else f"{each['type_code']}:{each['reference']}" for each in documents)
    return (summary, "; ".join(told) or None)


PREVIOUS = Rule(
    "previous documents",
    "the summary declaration, then references as TYPE:reference with ; between them; without a type, the element's name is it",
    _read_previous,
    _write_previous,
)


def _read_guarantee(texts: Texts, _: Spelling) -> Values:
    kind, _colon, reference = (texts[0] or "").partition(":")
    if not kind:
        return (None,)
    guarantee = {"type_code": kind.strip(), "reference": reference.strip() or None, "amount": texts[1] and read_decimal(texts[1], 4)}
    return ({name: value for name, value in guarantee.items() if value is not None},)


def _write_guarantee(values: Values, _: Spelling) -> Texts:
    if values[0] is None:
        return (None, None)
    reference = values[0].get("reference")
    return (values[0]["type_code"] + (f":{reference}" if reference else ""), values[0].get("amount"))


GUARANTEE = Rule(
    "guarantee", "its type, or TYPE:reference, and its amount; a SAD has no currency for it", _read_guarantee, _write_guarantee
)
