"""Proposing a mapping file from the header of a table, for a person to read over: columns whose names are known get their fields.

Names only are compared, letter by letter; what is in the cells is not looked at, and nothing is taken by a proposal (`Columns.proposal`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from producers.formats.fields import fields_of
from schemas.errors import cleaned
from schemas.names import EventType

TYPE = EventType.EXPORT_DECLARATION
# How exports call what the fields hold, besides the fields' own names; capitals, blanks and punctuation do not count.
_SPELLINGS = {
    "office_code": "office | office id | customs office | customs post | post | код таможни | таможенный пост | пост | гумрук",
    "registration_number": (
        "declaration id | declaration no | declaration number | decl no | registration no | reg no | reg number | number | no | mrn | "
        "номер декларации | номер дт | номер гтд | рег номер | регистрационный номер | рақами эъломия | شماره اظهارنامه"
    ),
    "registration_year": "year | reg year | год | сол | سال",
    "registered_on": "date | reg date | registration date | declaration date | дата | дата регистрации | дата декларации | сана | تاریخ",
    "local_reference": "lrn | local ref | declarant reference | reference number",
    "declaration_type": "type of declaration | regime | тип декларации | режим",
    "exporter_id": "exporter code | exporter tin | consignor id | seller id | инн отправителя | инн экспортера",
    "exporter_name": "exporter | consignor | consignor name | seller | отправитель | экспортер | фиристанда | صادر کننده",
    "consignee_id": "consignee code | consignee tin | importer id | importer tin | инн получателя | инн импортера",
    "consignee_name": "consignee | importer | importer name | buyer | получатель | импортер | гиранда | وارد کننده",
    "declarant_id": "declarant code | declarant tin | broker id",
    "declarant_name": "declarant | broker | декларант",
    "export_country": "country of export | exporting country | country of departure | страна отправления",
    "destination_country": "country of destination | страна назначения",
    "border_transport_mode": "mode of transport | transport mode | вид транспорта",
    "vehicle_ids[]": "vehicle | truck | truck no | plate | plate number | vehicle number | номер тс | транспортное средство",
    "container_numbers[]": "container | container no | container number | номер контейнера",
    "seal_numbers[]": "seal | seals | seal no | пломба",
    "incoterm": "incoterms | delivery terms | terms of delivery | условия поставки",
    "invoice_amount": "invoice value | total invoice | сумма счета",
    "invoice_currency": "currency | invoice currency code | валюта | асъор",
    "items[].number": "item no | item number | no of item | номер товара",
    "items[].hs_code": "hs | hs6 | hs6 code | hs code 6 | tariff code | commodity code | код тн вэд | тнвэд | рамзи мол | کد تعرفه",
    "items[].description": "goods | goods description | description of goods | commodity | товар | груз | наименование товара | мол | کالا",
    "items[].origin_country": "origin | country of origin | страна происхождения | страна",
    "items[].gross_mass_kg": "gross mass | gross weight | gross kg | вес брутто | вес брутто кг | брутто | وزن ناخالص",
    "items[].net_mass_kg": "net mass | net weight | net kg | вес нетто | вес нетто кг | нетто | وزن خالص",
    "items[].package_count": "packages | number of packages | количество мест | мест",
    "items[].package_kind": "kind of packages | package code | вид упаковки",
    "items[].procedure_code": "procedure | cpc | customs procedure | процедура",
    "items[].item_price": "price | item value | invoice price | стоимость | цена",
    "items[].statistical_value": "customs value | статистическая стоимость | таможенная стоимость",
}
_GENERAL = frozenset(("number", "kind", "reason", "version", "corrects"))  # they say nothing by themselves
_KEYS = ("office_code", "registration_year", "registered_on", "registration_number")
_PARTS = re.compile(r"[\W_]+")


def propose(names: Sequence[str]) -> str:
    """Write a mapping file, in TOML, for a table whose header has these names; those that say nothing to us stand in it as comments."""
    given = list(dict.fromkeys(" ".join(cleaned(name).split()) for name in names))
    found: dict[str, str] = {}
    for name in filter(None, given):
        field = _KNOWN.get(_plain(name))
        if field is not None and field not in found.values():
            found[name] = field
    key = [name for field in _KEYS for name, filled in found.items() if filled == field]
    lines = [
        "# A PROPOSAL, made from nothing but the names in a header: each line of it may be wrong. Read it over, mend it, try it with",
        "# 'panj convert FILE --columns THIS_FILE', then take away the next line. 'panj formats describe csv' lists the fields.",
        "proposal = true",
        "",
        f"type = {_quoted(TYPE)}  # or import-declaration, transit-declaration, crossing-event",
        "kept = []  # columns that no field says, kept under extensions",
        "not_taken = []  # columns that are left out on purpose",
        "",
        "[table]",
        '# decimal = ","  # what parts a fraction',
        '# date_order = "dmy"',
        "",
        "[rows]",
        'one_is = "declaration"  # or "item"',
        f"key = [{', '.join(map(_quoted, key))}]  # the columns that tell one declaration from the next",
        "",
        "[columns]",
        *(f"{_quoted(name)} = {_quoted(field)}" for name, field in found.items()),
        *(f'# {_quoted(name)} = ""' for name in given if name and name not in found),
    ]
    return "\n".join(lines) + "\n"


def _plain(name: str) -> str:
    return _PARTS.sub(" ", name.casefold()).strip()


def _known() -> dict[str, str]:
    """Every name that is known, with its field; of a declaration and of its items the items', which a row mostly is."""
    paths = sorted(fields_of(TYPE), key=lambda path: not path.startswith("items[]."))
    own: dict[str, str] = {}
    for path in paths:
        if path.rpartition(".")[2] in _GENERAL:
            continue
        if path.count("[]") - path.endswith("[]") - path.startswith("items[].") == 0 and "." not in path.removeprefix("items[]."):
            own.setdefault(_plain(path.removeprefix("items[].")), path)
    return {_plain(spelling): field for field, spellings in _SPELLINGS.items() for spelling in spellings.split("|")} | own


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "")


_KNOWN = _known()
