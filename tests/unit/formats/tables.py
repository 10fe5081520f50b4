"""A mapping file and its tables, self-made, and reading them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from producers.formats.columns import Columns
from producers.formats.columns_files import read_columns
from producers.formats.csv_files import FORMAT
from producers.formats.reading import Conventions, Part, ReadDeclaration, Unread

EXPORT = "customs.export-declaration.v1"
TRANSIT = "customs.transit-declaration.v1"

ONE_A_ROW = """
type = "customs.export-declaration.v1"

[rows]
key = ["Office", "Number"]

[constants]
administration = "TJ"

[columns]
Office = "office_code"
Number = "registration_number"
Date = "registered_on"
HS = { field = "items[].hs_code", digits = 6 }
Goods = "items[].description"
"Net kg" = "items[].net_mass_kg"
"""
HEADER = ("Office", "Number", "Date", "HS", "Goods", "Net kg")
ITEMS = ONE_A_ROW.replace("[rows]\n", '[rows]\none_is = "item"\n')


def row(
    number: str, hs: str = "252329", goods: str = "cement", net: str = "1000", date: str = "2026-03-01", office: str = "TJ020"
) -> tuple[str, ...]:
    return (office, number, date, hs, goods, net)


def written(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER, delimiter: str = ",") -> str:
    made = io.StringIO(newline="")
    csv.writer(made, delimiter=delimiter).writerows([header, *rows])
    return made.getvalue()


def conventions(mapping: str, **more: Any) -> Conventions:
    return Conventions(columns=read_columns(mapping), **more)


def parts_of(raw: bytes | str, mapping: str | Columns = ONE_A_ROW, **more: Any) -> list[Part]:
    columns = read_columns(mapping) if isinstance(mapping, str) else mapping
    data = raw.encode() if isinstance(raw, str) else raw
    return list(FORMAT.read(io.BytesIO(data), Conventions(columns=columns, **more)).parts)


def read_of(part: Part) -> ReadDeclaration:
    assert isinstance(part, ReadDeclaration), part
    return part


def told(part: Part) -> tuple[str, int | None]:
    """Give the code of what is wrong with a part, and its line."""
    assert isinstance(part, Unread), part
    return part.problems[0].code, part.problems[0].place.line


def numbers_of(parts: Sequence[Part]) -> list[str]:
    return [part.data["registration_number"] for part in parts if isinstance(part, ReadDeclaration)]


def codes_of(parts: Sequence[Part]) -> list[str]:
    return [part.problems[0].code for part in parts if isinstance(part, Unread)]
