"""By which rules of reading the table of the SAD is read: `schemas.sad.TABLE` says what stands where, here stands how it is understood."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from producers.formats import rules
from producers.formats.mapping import Group, Mapping, Row
from producers.formats.reading import Described
from schemas import sad
from schemas.sad import Kind

# How the texts of a SAD's rule are read, where it has one element ...
_READ_AS = {
    "text": rules.TEXT,
    "code": rules.CODE,
    "flag": rules.FLAG,
    "whole": rules.WHOLE,
    "day": rules.DAY,
    "decimal 4": rules.AMOUNT,
    "decimal 6": rules.MASS,
    "vehicles": rules.PLATES,
    "seals": rules.SEALS,
    "code of countries": rules.COUNTRY,
    "code of currencies": rules.CURRENCY,
    "code of documents": rules.DOCUMENT_TYPE,
    "code of incoterms": rules.INCOTERM,
    "code of offices": rules.OTHER_OFFICE,
    "code of package-kinds": rules.PACKAGE_KIND,
    "code of procedures": rules.PROCEDURE,
    "code of transport-modes": rules.TRANSPORT_MODE,
    "code of units": rules.UNIT,
}
_BY_FIELD = {"office_code": rules.OFFICE}  # without it there is no identity: refused where it is odd
# ... and where it has several: the place of the element in the row, that of its field or the name of a note, and how it is read.
_READ_SEVERAL: dict[str, tuple[tuple[int, int | str, rules.Rule, str], ...]] = {
    "flow": ((0, ".flow", rules.CODE, ""),),
    "registration": (
        (0, ".serial", rules.CODE, ""),
        (1, ".number", rules.CODE, ""),
        (2, 2, rules.DAY, ""),
        (3, ".year", rules.WHOLE, ""),
    ),
    "declaration type": ((0, 0, rules.CODE, ""), (1, 0, rules.CODE, "joins")),
    "commodity": ((0, 0, rules.HS_CODE, ""), (0, 1, rules.BEYOND_HS, ""), (1, 1, rules.NATIONAL_CODE, "joins")),
    "description": ((0, 0, rules.TEXT, ""), (1, 0, rules.TEXT, "otherwise")),
    "amount, told twice": ((0, 0, rules.AMOUNT, ""), (1, 0, rules.AMOUNT, "otherwise")),
    "previous documents": ((0, ".summary", rules.TEXT, ""), (1, ".previous", rules.TEXT, "")),
    "guarantee": ((0, ".guarantee", rules.TEXT, ""), (1, "guarantee.amount", rules.AMOUNT, "")),
}
KEPT = ".extensions."  # what begins the notes of an item that are kept under a name of their own
_GROUPS = (Group("Item", "items[]"), Group("Item/Attached_documents", "items[].documents[]"), Group("Container", ".containers[]"))
_BESIDE = (  # what stands in no row of the table
    Row(sad.CONTAINER_NUMBER.replace("[]", ""), ".containers[].number", rules.CONTAINER),
    Row(sad.CONTAINER_ITEM.replace("[]", ""), ".containers[].item", rules.WHOLE),
    Row("Identification/Assessment/Date", ".assessed_on", rules.SHOWS_ORDER),
    Row("Identification/receipt/Date", ".receipted_on", rules.SHOWS_ORDER),
)


def _rule_of(row: sad.Row) -> rules.Rule:
    return _BY_FIELD.get(row.fields[0]) or _READ_AS[row.rule.name]


def _rows(row: sad.Row) -> Iterator[Row]:
    """Give the rows by which one of the table is read."""
    several = _READ_SEVERAL.get(row.rule.name) or ((0, 0, _rule_of(row), ""),)
    group = row.list_field.removeprefix("extensions.")
    for element, name, rule, how in several:
        source = row.paths[element].replace("[]", "").replace("/Supplementary_unit/", "/Supplementary_unit[1]/")
        field = name if isinstance(name, str) else row.names[name]
        if row.list_field.startswith("extensions."):
            field = f"{KEPT}{field}"
        elif isinstance(name, int) and rule.several:
            field = f"{field}[]"
        yield Row(source, f"{group}.{field}" if group else field, rule, row.unit or "", how == "joins", otherwise=how == "otherwise")


@cache
def mapping_of(kind: Kind) -> Mapping:
    """The mapping by which a SAD of this kind is read."""
    return Mapping([*(each for row in sad.TABLE if kind in row.kinds for each in _rows(row)), *_BESIDE], _GROUPS)


def describe() -> tuple[Described, ...]:
    """The table of the SAD as people review it, and what stands beside it."""
    return (*(_described(row) for row in sad.TABLE), *_BESIDE_DESCRIBED)


def _described(row: sad.Row) -> Described:
    says = row.rule.meaning if row.rule.name in _READ_SEVERAL else _rule_of(row).says
    kinds = "" if len(row.kinds) == len(Kind) else f" ({' and '.join(sorted(row.kinds))} only)"
    fields = "which declaration it is" if row.fields == ("kind",) else ", ".join(row.fields)
    return Described(" + ".join(row.paths), fields, row.unit or "", says + kinds)


_BESIDE_DESCRIBED = (
    Described(
        f"{sad.CONTAINER_NUMBER} + {sad.CONTAINER_ITEM}",
        "container_numbers, items[].container_numbers",
        "",
        f"{rules.CONTAINER.says}; of the item whose place is told, or of none",
    ),
    *(Described(row.source, "", "", row.rule.says) for row in _BESIDE if row.rule is rules.SHOWS_ORDER),
    Described("everything else", "extensions.asycuda", "", "kept as it is, by its path"),
)
