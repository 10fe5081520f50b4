"""The fields that a column may fill: each leaf of the four models, with its unit, and the rule that reads it unless another is named.

A field is written as a path from the declaration downwards: `office_code`, `items[].hs_code`, `vehicle_ids[]`, `vehicle.plates[]`. Within
brackets may stand a label of one's own: `documents[1].reference` and `documents[2].reference` are two documents told by one row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from producers.formats import rules
from producers.formats.dates import FIRST_YEAR, read_day
from producers.formats.rules import Ground, Rule, plain_text
from schemas.content import MODELS
from schemas.crossing import CrossingKind
from schemas.declarations import MessageFunction
from schemas.errors import ContentError

_DAY_AND_TIME = re.compile(
    r"([0-9]{1,2}[./-][0-9]{1,2}[./-](?:[0-9]{4}|[0-9]{2})|[0-9]{4}[./][0-9]{1,2}[./][0-9]{1,2})[ T]+([0-9]{1,2}):([0-9].*)"
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a type: its path with empty brackets, how it is read, and in which unit."""

    path: str
    rule: Rule
    unit: str


def _matching(pattern: str, says: str, *, upper: bool = False) -> Rule:
    form = re.compile(pattern)

    def read(text: str, ground: Ground) -> str:
        value = plain_text(text).upper() if upper else plain_text(text)
        if not form.fullmatch(value):
            raise ContentError("field-invalid", f"not {says}", value=text)
        return value

    return Rule(says, read)


def _one_of(kind: type[StrEnum]) -> Rule:
    known = tuple(str(each) for each in kind)

    def read(text: str, ground: Ground) -> str:
        value = plain_text(text).lower()
        if value not in known:
            raise ContentError("field-invalid", f"not one of {', '.join(known)}: translate it in the column's values", value=text)
        return value

    return Rule(f"one of {', '.join(known)}", read)


def _year(text: str, ground: Ground) -> int:
    year = plain_text(text)
    if not re.fullmatch(r"[0-9]{4}", year):
        raise ContentError("field-invalid", "not a year of four digits", value=text)
    if not FIRST_YEAR <= int(year) < 2200:
        raise ContentError("year-implausible", f"not a year from {FIRST_YEAR} on, of the Gregorian calendar", value=text)
    return int(year)


def _numbers(text: str, ground: Ground) -> list[int]:
    return [rules.WHOLE.read(each, ground) for each in re.split(r"[,;/ ]+", plain_text(text)) if each]


def _instant(text: str, ground: Ground) -> str:
    """Also with its day written as people write it: `24.11.2026 8:15`."""
    found = _DAY_AND_TIME.fullmatch(plain_text(text))
    if found is None:
        return str(rules.INSTANT.read(text, ground))
    try:
        day = read_day(found[1], ground.dates)
        return str(rules.INSTANT.read(f"{day}T{found[2].zfill(2)}:{found[3]}", ground))
    except ContentError as error:
        raise ContentError(error.code, error.problems[0].text, value=text) from None


ADMINISTRATION = Rule("the country's code, in lower case", lambda text, ground: str(rules.COUNTRY.read(text, ground)).lower())
YEAR = Rule("a year of four digits", _year)
NUMBER = _matching(r"[A-Za-z0-9][A-Za-z0-9/._-]{0,39}", "a number of letters, digits and / . _ -")
NATIONAL_CODE = _matching(r"[0-9A-Z]{1,8}", "the country's own digits behind the HS code, up to 8", upper=True)
INSTANT = Rule("date and time, in the zone and date order of the source", _instant)
ITEM_NUMBERS = Rule("whole numbers, several parted by , ; /", _numbers, several=True)

_RULES: Mapping[Rule, str] = {
    ADMINISTRATION: "administration declaration_administration",
    rules.OFFICE: "office_code declaration_office_code",
    rules.OTHER_OFFICE: "exit_office entry_office departure_office destination_office transit_offices",
    YEAR: "registration_year declaration_year",
    NUMBER: "registration_number event_number declaration_number",
    rules.WHOLE: "version corrects number item_count",
    _one_of(MessageFunction): "message_function",
    _one_of(CrossingKind): "kind",
    rules.TEXT: (
        "exporter_name consignee_name declarant_name principal_name description reason correction_reason local_reference reference issuer"
    ),
    rules.CODE: (
        "declaration_type exporter_id consignee_id declarant_id principal_id national_procedure control_result guarantee.type_code"
    ),
    rules.UNIT: "supplementary_unit",
    rules.DOCUMENT_TYPE: "type_code",
    rules.DAY: "registered_on issued_on time_limit_on",
    INSTANT: "accepted_at occurred_at",
    rules.COUNTRY: "export_country destination_country vehicle_nationality origin_country nationality",
    rules.CURRENCY: "invoice_currency freight_currency insurance_currency currency",
    rules.INCOTERM: "incoterm",
    rules.TRANSPORT_MODE: "border_transport_mode inland_transport_mode transport_mode",
    rules.PACKAGE_KIND: "package_kind",
    rules.CONTAINERS: "container_numbers",
    rules.PLATES: "vehicle_ids inland_vehicle_ids plates",
    rules.SEALS: "seal_numbers",
    rules.FLAG: "containerised",
    rules.AMOUNT: "invoice_amount freight_amount insurance_amount amount item_price statistical_value",
    rules.MASS: "gross_mass_kg net_mass_kg weighed_mass_kg",
    rules.QUANTITY: "package_count supplementary_quantity",
    rules.HS_CODE: "hs_code",
    NATIONAL_CODE: "national_code",
    rules.PROCEDURE: "procedure_code",
    ITEM_NUMBERS: "item_numbers",
}
RULE_OF = {name: rule for rule, names in _RULES.items() for name in names.split()}
NAMED = {"text": rules.TEXT, "code": rules.CODE, "hs-code": rules.HS_CODE, "beyond-hs": rules.BEYOND_HS}  # what `rule` of a column may say
DECIMALS = frozenset({rules.AMOUNT, rules.MASS, rules.QUANTITY, rules.WHOLE})
NUMERIC = DECIMALS | {YEAR, rules.FLAG, ITEM_NUMBERS}  # a cell that a program keeps as a number loses nothing for these


@cache
def fields_of(event_type: str) -> Mapping[str, Field]:
    """Every field of a type that a column may fill, by its path with empty brackets, in the model's order."""
    return {
        path: Field(path, RULE_OF.get(path) or RULE_OF[_leaf(path)], "kg" if path.endswith("_kg") else "")
        for path in _paths(MODELS[event_type])
    }


def _leaf(path: str) -> str:
    return path.rpartition(".")[2].removesuffix("[]")


def _paths(model: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if name == "extensions":
            continue
        inner, several = _inner(field.annotation)
        path = f"{before}{name}{'[]' if several else ''}"
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _paths(inner, f"{path}.")
        else:
            yield path


def _inner(annotation: Any, several: bool = False) -> tuple[Any, bool]:
    """What stands within `Annotated`, `| None` and `tuple[…, ...]`, and whether it may stand there several times."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _inner(get_args(annotation)[0], several)
    if origin in (Union, UnionType):
        return _inner(next(each for each in get_args(annotation) if each is not type(None)), several)
    if origin is tuple:
        return _inner(get_args(annotation)[0], True)
    return annotation, several
