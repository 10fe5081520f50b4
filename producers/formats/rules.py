"""How the text of an element or a column becomes the value of a field. Each rule is a value with its own words for `panj formats describe`.

A rule gives the value, or raises: ContentError where the text is wrong or could mean two things (the file is refused), `NotTaken` where
the text is good for its own country and says nothing in ours (it is kept under `extensions`, with a warning). Nothing is ever guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from stdnum import iso6346

from producers.formats.dates import Dates, read_day
from producers.formats.reading import Conventions
from schemas.codelists import COUNTRIES, CURRENCIES, incoterms, package_kinds, transport_modes
from schemas.errors import ContentError

LISTS = {
    "countries": COUNTRIES,
    "currencies": CURRENCIES,
    "incoterms": incoterms.CODES,
    "package-kinds": package_kinds.CODES,
    "transport-modes": transport_modes.CODES,
}
DIGITS = str.maketrans("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩٫", "01234567890123456789.")
# Older Tajik fonts drew the letters of Tajik in the places of others (DOMAIN: Ҳ Қ Ӣ Ӯ).
_LOOKALIKES = str.maketrans("ЊњЌќЇїЎў", "ҲҳҚқӢӣӮӯ")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?|\.[0-9]+")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9./ _-]{0,39}")
_HARMFUL = re.compile("[\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")


class NotTaken(Exception):
    """The text is kept as it is under `extensions`: no field says it. `code` is the warning's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Ground:
    """What rules read by: the source's conventions, and what the dates of the whole document say about their order."""

    conventions: Conventions
    dates: Dates


@dataclass(frozen=True, slots=True)
class Rule:
    """A named way to read a text; `read` gets it stripped and never empty. `several`: it gives a list."""

    says: str
    read: Callable[[str, Ground], Any]
    several: bool = False


def _text(text: str, ground: Ground) -> str:
    if text.isascii() and text.isprintable():  # one line, and nothing in it to mend
        return " ".join(text.split())
    lines = [line for line in (" ".join(line.split()) for line in text.splitlines()) if line]
    joined = ", ".join([*(line.rstrip(",") for line in lines[:-1]), *lines[-1:]])
    clean = unicodedata.normalize("NFC", _HARMFUL.sub(" ", joined))
    return clean.translate(_LOOKALIKES) if ground.conventions.tajik_lookalikes else clean


def safe(text: str) -> str:
    """Make a text safe to keep as it stands: control and direction characters become blanks."""
    text = text.strip()
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFC", _HARMFUL.sub(" ", re.sub(r"[\t-\r\x85]+", " ", text)))
    return text


def plain_text(text: str) -> str:
    """Give the text of a code, number or date: one line, digits of all scripts as ASCII ones."""
    if text.isascii():
        return text if text.isalnum() else " ".join(text.split())
    return " ".join(text.split()).translate(DIGITS)


def _code(text: str, ground: Ground) -> str:
    code = plain_text(text)
    if not _CODE.fullmatch(code):
        raise NotTaken("code-odd", "not a code of letters, digits and . / _ -")
    return code


def listed(name: str) -> Rule:
    """A code of a list, or a local code that the source's table `name` translates."""
    known = LISTS[name]

    def read(text: str, ground: Ground) -> str:
        code = plain_text(text)
        table = ground.conventions.codes.get(name)
        if table and code in table:
            return table[code]
        if code in known:
            return code
        if (upper := code.upper()) in known:
            return upper
        raise NotTaken("code-local", f"not in the code list {name}: translate it in the source's table codes.{name}")

    return Rule(f"code list {name}, or its local table", read)


def translated(name: str, pattern: str, says: str, *, needed: bool = False) -> Rule:
    """A code of no fixed list, translated where the source's table `name` has it.

    Where it has another form than `pattern` it is refused if it is `needed`, and otherwise kept as it is.
    """
    form = re.compile(pattern)

    def read(text: str, ground: Ground) -> str:
        code = plain_text(text)
        code = ground.conventions.codes.get(name, {}).get(code, code)
        if form.fullmatch(code):
            return code
        if needed:
            raise ContentError("field-invalid", f"not {says}", value=text)
        raise NotTaken("code-odd", f"not {says}")

    return Rule(says, read)


def decimal(integer_digits: int, places: int, says: str) -> Rule:
    """A number from 0 as it is written by programs (`1.0623724E7`, `199.0000`, `.5`); never rounded."""

    def read(text: str, ground: Ground) -> str:
        whole, fraction = _digits(text)
        if len(whole) > integer_digits:
            raise ContentError("field-invalid", f"more than {integer_digits} digits before the point", value=text)
        if len(fraction) > places:
            raise NotTaken("decimal-long", f"more than {places} digits behind the point: it would have to be rounded")
        return f"{whole}.{fraction}" if fraction else whole

    return Rule(says, read)


def _digits(text: str) -> tuple[str, str]:
    """The digits before and behind the point, without zeros that say nothing."""
    whole, point, fraction = text.partition(".")
    if text.isascii() and whole.isdigit() and (fraction.isdigit() or not point):  # nearly all; Decimal takes five times as long
        return whole.lstrip("0") or "0", fraction.rstrip("0")
    whole, _, fraction = format(_number(text).normalize(), "f").partition(".")
    return whole, fraction


def _number(text: str) -> Decimal:
    plain = plain_text(text).replace(" ", "")
    if "," in plain:
        if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+\.[0-9]+", plain):
            plain = plain.replace(",", "")
        elif re.fullmatch(r"[0-9]+,([0-9]{1,2}|[0-9]{4,})", plain):
            plain = plain.replace(",", ".")
        else:
            raise ContentError("number-ambiguous", "the comma may part thousands or the fraction: write it with a point", value=text)
    if not _NUMBER.fullmatch(plain):
        raise ContentError("field-invalid", "not a number from 0", value=text)
    try:
        return Decimal(plain)
    except InvalidOperation:  # pragma: no cover  the pattern leaves nothing that Decimal refuses
        raise ContentError("field-invalid", "not a number", value=text) from None


def _whole(text: str, ground: Ground) -> int:
    number = _number(text)
    if number != number.to_integral_value() or number >= 10**9:
        raise ContentError("field-invalid", "not a whole number", value=text)
    return int(number)


def _flag(text: str, ground: Ground) -> bool:
    known = {"true": True, "1": True, "yes": True, "y": True, "false": False, "0": False, "no": False, "n": False}
    value = known.get(plain_text(text).lower())
    if value is None:
        raise ContentError("field-invalid", "neither true nor false", value=text)
    return value


def _container(text: str, ground: Ground) -> str:
    number = plain_text(text).replace(" ", "").replace("-", "").upper()
    if number[3:4] not in {*"JRUZ"} or not iso6346.is_valid(number):
        raise NotTaken("container-odd", "not a container number of ISO 6346: its form or its check digit is wrong")
    return number


def _containers(text: str, ground: Ground) -> list[str]:
    return [_container(each, ground) for each in re.split(r"[,;/]", text) if each.strip()]


def _plates(text: str, ground: Ground) -> list[str]:
    plates = [plate for part in re.split(r"[/;,\n]", text) if (plate := _text(part, ground))]
    if any(len(plate) > 40 for plate in plates):
        raise NotTaken("plate-odd", "longer than the number of any vehicle")
    return plates


def _seals(text: str, ground: Ground) -> list[str]:
    seals = [seal for part in re.split(r"[/;,\n]", text) if (seal := _text(part, ground))]
    if any(len(seal) > 40 for seal in seals):
        raise NotTaken("seal-odd", "longer than the number of any seal")
    return seals


def _hs_code(text: str, ground: Ground) -> str:
    code = plain_text(text).replace(" ", "").replace(".", "")
    if not re.fullmatch(r"[0-9]{6}[0-9A-Za-z]*", code):
        raise ContentError("field-invalid", "not a commodity code: six digits of the HS, then the country's own", value=text)
    return code[:6]


def _beyond_hs(text: str, ground: Ground) -> str | None:
    return plain_text(text).replace(" ", "").replace(".", "")[6:].upper() or None


def _national_code(text: str, ground: Ground) -> str:
    code = plain_text(text).replace(" ", "").replace(".", "").upper()
    if not re.fullmatch(r"[0-9A-Z]+", code):
        raise NotTaken("code-odd", "not digits and capitals")
    return code


def _day(text: str, ground: Ground) -> str:
    return read_day(plain_text(text), ground.dates)


def _instant(text: str, ground: Ground) -> str:
    """ISO 8601, or format 304 of UN/EDIFACT 2379 (CCYYMMDDHHMMSSZHHMM); without an offset in the time zone of the source."""
    plain = plain_text(text).replace(" ", "T", 1)
    compact = re.fullmatch(r"([0-9]{4})([0-9]{2})([0-9]{2})T?([0-9]{2})([0-9]{2})([0-9]{2})(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?", plain)
    if compact:
        year, month, day, hour, minute, second, zone = compact.groups()
        plain = f"{year}-{month}-{day}T{hour}:{minute}:{second}{zone or ''}"
    try:
        instant = datetime.fromisoformat(plain)
    except ValueError:
        raise ContentError("field-invalid", "not a date and time (ISO 8601)", value=text) from None
    if "T" not in plain:
        raise ContentError("field-invalid", "a date without its time of day", value=text)
    if instant.tzinfo is None:
        zone_of_source = ground.conventions.time_zone
        if zone_of_source is None:
            raise NotTaken("time-zone-unknown", "a time without an offset: name the time zone of the source")
        instant = instant.replace(tzinfo=zone_of_source)
    return instant.isoformat()


TEXT = Rule("text on one line", _text)
CODE = Rule("code as it is", _code)
COUNTRY = listed("countries")
CURRENCY = listed("currencies")
INCOTERM = listed("incoterms")
PACKAGE_KIND = listed("package-kinds")
TRANSPORT_MODE = listed("transport-modes")
_OFFICE_FORM = r"[A-Z0-9][A-Z0-9-]{1,16}"
OFFICE = translated("offices", _OFFICE_FORM, "an office code, or its local one translated", needed=True)
OTHER_OFFICE = translated("offices", _OFFICE_FORM, "an office code, or its local one translated")
PROCEDURE = translated("procedures", r"[0-9A-Z]{2,7}", "a procedure code, or its local one translated")
NATIONAL_CODE = Rule("digits and capitals", _national_code)
DOCUMENT_TYPE = translated("documents", _CODE.pattern, "a document's code, or its local one translated")
UNIT = translated("units", _CODE.pattern, "a unit's code, or its local one translated")
AMOUNT = decimal(14, 4, "decimal, up to 4 places")
MASS = decimal(10, 6, "decimal, up to 6 places")
QUANTITY = decimal(10, 6, "decimal, up to 6 places")
WHOLE = Rule("whole number", _whole)
FLAG = Rule("true or false", _flag)
CONTAINER = Rule("ISO 6346, check digit and all", _container)
CONTAINERS = Rule("ISO 6346, several parted by , ; /", _containers, several=True)
PLATES = Rule("several parted by / ; ,", _plates, several=True)
SEALS = Rule("several parted by / ; ,", _seals, several=True)
HS_CODE = Rule("the first six digits", _hs_code)
BEYOND_HS = Rule("what stands behind the first six digits", _beyond_hs)
DAY = Rule("a date, in the order of the source", _day)
INSTANT = Rule("date and time, in the zone of the source where it has none", _instant)
SHOWS_ORDER = Rule("not read: shows the order of the document's dates", lambda text, ground: None)
