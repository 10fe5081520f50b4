"""Dates as people and systems write them. `4/1/15` is the first of April or the fourth of January: the source's settings say which, or
another date of the same document that can be read in one order only. What stays open is refused, never guessed.

A year of two digits may be Gregorian, of the Persian or of the lunar Hijri calendar (1394 and 2015 are the same year). It is believed
where it gives a year of our times, and where no date with a whole year in the same document stands far from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache

from schemas.errors import ContentError
from schemas.values import DateOrder

FIRST_YEAR = 1990  # earlier years in customs data are another calendar's, or a slip (DOMAIN: refuse rather than guess)
SHORT_YEARS = 15  # how far back a year of two digits reaches: 1391 to 1405 of the Persian calendar are 91 to 05
FAR_YEARS = 10  # how far a year of two digits may lie from the whole years of the same document

_PARTS = re.compile(r"([0-9]{1,4})([./-])([0-9]{1,2})\2([0-9]{1,4})(?:[ T].*)?")
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_ORDERS: tuple[DateOrder, ...] = ("dmy", "mdy", "ymd")


@dataclass(frozen=True, slots=True)
class Dates:
    """What is known of a document's dates: their order, and the span of its whole years."""

    order: DateOrder | None = None
    first_year: int | None = None
    last_year: int | None = None


def dates_of(texts: Iterable[str], stated: DateOrder | None) -> Dates:
    """Learn from all dates of a document. `stated`: the order that the source's settings name, which goes before what the dates show."""
    texts = list(texts)
    orders: set[DateOrder] = set()
    years: set[int] = set()
    for text in texts:
        parts = _split(text)
        if parts is None:
            continue
        if len(parts[0]) == 4 or len(parts[2]) == 4:
            years.add(int(parts[0] if len(parts[0]) == 4 else parts[2]))
        possible = _possible(parts)
        if len(possible) == 1:
            orders |= possible
    order = stated or (orders.pop() if len(orders) == 1 else None)
    return Dates(order, min(years, default=None), max(years, default=None))


def read_day(text: str, dates: Dates) -> str:
    """Give the day as RFC 3339 has it; ContentError `date-invalid`, `date-ambiguous` or `year-implausible` where it is none or open."""
    parts = _split(text)
    if parts is None:
        raise ContentError("date-invalid", "not a date", value=text)
    possible = _possible(parts)
    if not possible:
        raise ContentError("date-invalid", "no such day in any order of day, month and year", value=text)
    days = {_day(parts, order, dates) for order in possible}
    if len(days) > 1:
        if dates.order is None or dates.order not in possible:
            raise ContentError("date-ambiguous", "day and month may be either: name the source's date_order", value=text)
        return _day(parts, dates.order, dates).isoformat()
    if dates.order is not None and dates.order not in possible and "ymd" not in possible:
        raise ContentError("date-invalid", f"no such day in the order of this source, {dates.order}", value=text)
    return days.pop().isoformat()


def _split(text: str) -> tuple[str, str, str] | None:
    found = _PARTS.fullmatch(text)
    if found:
        return found[1], found[3], found[4]
    compact = _COMPACT.fullmatch(text)
    return (compact[1], compact[2], compact[3]) if compact else None


@lru_cache(maxsize=4096)
def _possible(parts: tuple[str, str, str]) -> frozenset[DateOrder]:
    return frozenset(order for order in _ORDERS if _fits(parts, order))


def _fits(parts: tuple[str, str, str], order: DateOrder) -> bool:
    year, month, day = _in_order(parts, order)
    if len(year) not in (2, 4) or len(day) > 2 or len(month) > 2 or (order == "ymd") != (len(parts[0]) == 4):
        return False
    try:
        date(2000 if len(year) == 2 else max(int(year), 1), int(month), int(day))
    except ValueError:
        return False
    return True


def _in_order(parts: tuple[str, str, str], order: DateOrder) -> tuple[str, str, str]:
    a, b, c = parts
    return {"dmy": (c, b, a), "mdy": (c, a, b), "ymd": (a, b, c)}[order]


def _day(parts: tuple[str, str, str], order: DateOrder, dates: Dates) -> date:
    year, month, day = _in_order(parts, order)
    written = "/".join(parts)
    whole = int(year) if len(year) == 4 else 2000 + int(year)
    this_year = datetime.now(UTC).year
    if len(year) == 2:
        near = dates.first_year is None or (dates.first_year - FAR_YEARS <= whole <= (dates.last_year or whole) + FAR_YEARS)
        if not near or not this_year - SHORT_YEARS <= whole <= this_year + 1:
            text = "a year of two digits that may be another calendar's: write it with four digits"
            raise ContentError("year-implausible", text, value=written)
    elif not FIRST_YEAR <= whole <= this_year + SHORT_YEARS:
        raise ContentError("year-implausible", f"not a year from {FIRST_YEAR} on, of the Gregorian calendar", value=written)
    try:
        return date(whole, int(month), int(day))
    except ValueError:
        raise ContentError("date-invalid", "no such day", value=written) from None
