"""The forms that texts of a message must have, in the short notation of customs specifications (`an..35`, `n8`, `date`), as values.

The notation and what each form means stand in `NOTATION`; outlines (`structure`) use it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

NOTATION = """
a2, a..3          letters, exactly or up to so many; A2 capital letters, AN1 capital letters and digits
n8, n..4          digits
an8, an..35       any characters, not all of them blank; blanks around them do not count
line..70          any characters on one line, not all of them blank; blanks around them count
text..35          any characters, no blank at either end
ascii..35         printable characters of ASCII; visible..35: no blank at either end
1-999             a whole number within these bounds, without leading zeros
d16.6             a decimal of up to 16 digits, 6 of them behind the point; d: of any length
plain16.6         such a decimal without sign and leading zeros; above-zero16.6: and not 0
0|1               one of these texts
date, datetime    2026-11-24, 2026-11-24T08:15:00
date-304          20261124 or 20261124081500Z, 20261124081500+05 (UN/EDIFACT 2379: 102 and 304)
mrn, grn          movement reference number, guarantee reference number
office, eori      reference number of an office (AA123456), identification number of an operator
currency, email, latitude, longitude, tir-carnet, message-type
"""


@dataclass(frozen=True, slots=True)
class Form:
    """A form by its notation; `fits` is given the text as it stands in the document."""

    notation: str
    fits: Callable[[str], bool]


def _collapsed(pattern: str) -> Callable[[str], bool]:
    form = re.compile(pattern)
    return lambda text: form.fullmatch(" ".join(text.split())) is not None


def _written(pattern: str) -> Callable[[str], bool]:
    form = re.compile(pattern)
    return lambda text: form.fullmatch(re.sub(r"[\t\r\n]", " ", text)) is not None


def _line(pattern: str) -> Callable[[str], bool]:
    form = re.compile(pattern)
    return lambda text: not text.isspace() and form.fullmatch(text) is not None


def _day(text: str) -> bool:
    return _calendar(text, r"[0-9]{4}-[0-9]{2}-[0-9]{2}", date.fromisoformat)


def _moment(text: str) -> bool:
    return _calendar(text, r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}", datetime.fromisoformat)


def _calendar(text: str, pattern: str, read: Callable[[str], object]) -> bool:
    plain = text.strip()
    if not re.fullmatch(pattern, plain):
        return False
    try:
        read(plain)
    except ValueError:
        return False
    return True


def _whole(first: int, last: int) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        plain = text.strip()
        return re.fullmatch(r"0|[1-9][0-9]{0,17}", plain) is not None and first <= int(plain) <= last

    return fits


def _decimal(pattern: str, digits: int | None, places: int | None) -> Callable[[str], bool]:
    form = re.compile(pattern)

    def fits(text: str) -> bool:
        plain = text.strip()
        if not form.fullmatch(plain):
            return False
        whole, _, fraction = plain.lstrip("+-").partition(".")
        whole, fraction = whole.lstrip("0"), fraction.rstrip("0")
        return digits is None or places is None or (len(fraction) <= places and len(whole) + len(fraction) <= digits)

    return fits


_NAMED: dict[str, Callable[[str], bool]] = {
    "date": _day,
    "datetime": _moment,
    "date-304": _line(r"20[0-9]{6}([0-9]{6}(Z|[+-][0-9]{2})?)?"),
    "mrn": _written(r"([01][0-9]|2[0-4])[A-Z]{2}[A-Z0-9]{13}[0-9]|(2[4-9]|[3-9][0-9])[A-Z]{2}[A-Z0-9]{12}[J-M][0-9]"),
    "grn": _written(r"[0-9]{2}[A-Z]{2}[A-Z0-9]{12}[0-9]([A-Z][0-9]{6})?"),
    "office": _written(r"[A-Z]{2}[A-Z0-9]{6}"),
    "eori": _written(r"[A-Z]{2}[!-~]{1,15}"),
    "currency": _line(r"[A-Z]{3}"),
    "email": _written(r"(?=.{1,256}$)[ -?A-~]+@[ -\-/-~]+\.[ -~]+"),
    "latitude": _written(r"[+-]?([0-8]?[0-9]\.[0-9]{5,7}|90.000000?0?)"),
    "longitude": _written(r"[+-]?((0?[0-9]?|1[0-7])[0-9]\.[0-9]{5,7}|180.000000?0?)"),
    # Numbers of TIR carnets: up to 25,000,000 of the old series, then two letters before the number (IRU).
    "tir-carnet": _written(r"[1-9][0-9]{0,6}|(1[0-9]|2[0-4])[0-9]{0,6}|25000000|(X[A-Z]|[A-Z]X)(2[5-9]|[3-9][0-9]|[1-9][0-9]{2})[0-9]{6}"),
    "message-type": _collapsed(r"C[CD][0-9]{3}[A-Z]"),
}
_SIZED: dict[str, tuple[Callable[[str], Callable[[str], bool]], str]] = {
    "a": (_collapsed, "[A-Za-z]"),
    "A": (_written, "[A-Z]"),
    "AN": (_written, "[A-Z0-9]"),
    "n": (_collapsed, "[0-9]"),
    "an": (_collapsed, "."),
    "line": (_line, "."),
    "text": (_written, r"(?!\s).{}(?<!\s)"),
    "ascii": (_written, "[ -~]"),
    "visible": (_written, r"(?! )[ -~]{}(?<! )"),
}
_DECIMALS = {
    "d": r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)",
    "plain": r"(0|[1-9][0-9]*)(\.[0-9]+)?",
    "above-zero": r"(?!0(\.0*)?$)(0|[1-9][0-9]*)(\.[0-9]+)?",
}


@lru_cache(maxsize=256)
def form(notation: str) -> Form:
    """Give the form of a notation; ValueError where there is none."""
    if notation in _NAMED:
        return Form(notation, _NAMED[notation])
    if "|" in notation:
        texts = frozenset(notation.split("|"))
        return Form(notation, lambda text: text.strip() in texts)
    if bounds := re.fullmatch(r"([0-9]+)-([0-9]+)", notation):
        return Form(notation, _whole(int(bounds[1]), int(bounds[2])))
    if sized := re.fullmatch(r"([A-Za-z]+)(\.\.)?([0-9]+)", notation):
        make, of = _SIZED[sized[1]]
        many = f"{{{'1,' if sized[2] else ''}{sized[3]}}}"
        return Form(notation, make(of.replace("{}", many) if "{}" in of else of + many))
    if number := re.fullmatch(r"(d|plain|above-zero)(?:([0-9]+)\.([0-9]+))?", notation):
        digits, places = (int(number[2]), int(number[3])) if number[2] else (None, None)
        return Form(notation, _decimal(_DECIMALS[number[1]], digits, places))
    raise ValueError(f"no such form: {notation}")
