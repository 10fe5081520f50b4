"""Movement reference numbers: what their places say, by the UCC Implementing Regulation (EU) 2015/2447, Annex B (format of the MRN):
year (2 digits), country (2 letters), 12 characters of its customs, one letter of the procedure, one check character.
"""

from __future__ import annotations

import re

from producers.formats.rules import Ground, NotTaken, Rule

_FORM = re.compile(r"([0-9]{2})([A-Z]{2})[A-Z0-9]{14}")
_NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9/._-]{0,39}")
# The letters of the 17th place that name what a declaration is for; until 2024 it could be any character.
_EXPORT, _IMPORT, _TRANSIT = "ABCDE", "RSTUV", "JKLM"


def flow_of(mrn: str) -> str | None:
    """`export`, `import` or `transit`, where the number's procedure letter tells it."""
    if not _FORM.fullmatch(mrn):
        return None
    letter = mrn[16]
    return "export" if letter in _EXPORT else "import" if letter in _IMPORT else "transit" if letter in _TRANSIT else None


def _number(text: str, ground: Ground) -> str:
    if not _NUMBER.fullmatch(text):
        raise NotTaken("code-odd", "not the form of a registration number")
    return text


def _year(text: str, ground: Ground) -> int | None:
    found = _FORM.fullmatch(text)
    return 2000 + int(found[1]) if found else None


def _year_of_date(text: str, ground: Ground) -> int | None:
    return int(text[:4]) if re.match(r"20[0-9]{6}|20[0-9]{2}-", text) else None


def _administration(text: str, ground: Ground) -> str | None:
    found = _FORM.fullmatch(text)
    return found[2].lower() if found else None


REGISTRATION = Rule("a registration number, such as an MRN", _number)
MRN_YEAR = Rule("the year of an MRN", _year)
YEAR = Rule("the year of a date", _year_of_date)
MRN_COUNTRY = Rule("the country of an MRN, in lower case", _administration)
