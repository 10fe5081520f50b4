"""From the text of a cell to the value of a field: where it goes, and its rule under what the mapping file says of the cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from producers.formats.dates import Dates
from producers.formats.fields import DECIMALS, NAMED, NUMERIC, Field, fields_of
from producers.formats.mapping import Row, Slot
from producers.formats.reading import Conventions
from producers.formats.rules import DIGITS, Ground, NotTaken, Rule, plain_text
from producers.formats.uses import Cells, Use
from schemas.errors import ContentError

_STEP = re.compile(r"([a-z_]+)(\[[A-Za-z0-9]{0,20}\])?")
_PARTS_OF_CODES = re.compile(r"[ ./-]")
_GROUND = Ground(Conventions(), Dates())


@dataclass(frozen=True, slots=True)
class Path:
    """A field as a mapping file writes it, taken apart: the elements of lists that it opens, and its steps within the last of them.

    `items[].documents[2].reference` opens `items`, and in it `documents` under the label 2; its one step is `reference`.
    """

    canonical: str
    opens: tuple[tuple[str, str], ...]
    steps: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Path | None:
        """Take a field's text apart; None where it has not the form of one."""
        found = [_STEP.fullmatch(step) for step in text.split(".")]
        steps = [(step[1], step[2]) for step in found if step]
        if len(steps) < len(found):
            return None
        canonical = ".".join(name + ("[]" if label else "") for name, label in steps)
        (*within, (last, label)) = steps
        opens = tuple((name, within_label[1:-1]) for name, within_label in within if within_label)
        behind = [name for name, within_label in within if not within_label]
        return cls(canonical, opens, (*behind, last + ("[]" if label else "")))

    @property
    def adds(self) -> bool:
        """Whether it adds to a list of the declaration's own, such as `vehicle_ids[]`."""
        return not self.opens and self.steps[-1].endswith("[]")

    @property
    def of_item(self) -> bool:
        """Whether it belongs to an item, and not to the declaration as a whole."""
        return bool(self.opens) and self.opens[0][0] == "items"


@dataclass(frozen=True, slots=True)
class Taking:
    """One use of a column, ready to run. `beside` is what is set beside its value in the element of a list that it opens."""

    slot: Slot
    path: Path
    numeric: bool
    digits: int | str | None
    beside: dict[str, Any] = field(default_factory=dict)


def taking(column: str, use: Use, cells: Cells, event_type: str) -> Taking | None:
    """Make a use ready for a type; None where the type has no such field. ContentError where the file says what cannot be."""
    path = Path.of(use.field)
    fields = fields_of(event_type)
    if path is None or path.canonical not in fields:
        return None
    found = fields[path.canonical]
    base = NAMED[use.rule] if use.rule else found.rule
    beside = {}
    for name, constant in use.constants.items():
        if not path.opens:
            raise ContentError("columns-value", "only a column that opens an element of a list, such as a document, tells more of it")
        other = fields.get(f"{path.canonical.rpartition('.')[0]}.{name}")
        if other is None:
            raise ContentError("columns-value", "no such field beside it", value=name)
        beside[name] = constant_of(constant, other)
    row = Row(column, use.field, _under(base, use, cells), found.unit)
    return Taking(Slot.of(row, path.steps), path, base in NUMERIC, use.digits, beside)


def constant_of(constant: str | int | bool, to: Field) -> Any:
    """A constant of the mapping file in the form of its field; ContentError where it cannot be one."""
    text = str(constant).lower() if isinstance(constant, bool) else str(constant)
    if not text.strip() or to.rule.several:
        raise ContentError("field-invalid", "blank" if not text.strip() else "a list is no constant", value=text)
    try:
        return to.rule.read(text.strip(), _GROUND)
    except NotTaken as told:
        raise ContentError(told.code, str(told), value=text) from None


def _under(base: Rule, use: Use, cells: Cells) -> Rule:
    """The rule, with what the mapping file says of the column before it."""
    before: list[Callable[[str], str]] = []
    says = [base.says]
    if use.values:
        before.append(lambda text: use.values.get(text, text))
        says.append("translated: " + ", ".join(f"{said!r} is {meant!r}" for said, meant in list(use.values.items())[:4]))
    if isinstance(use.digits, int):
        before.append(lambda text: _of_length(text, use.digits))
        says.append(f"{use.digits} characters")
    if base in DECIMALS and (cells.decimal or cells.thousands):
        before.append(lambda text: _as_stated(text, cells.decimal or ".", cells.thousands))
    if not before:
        return base

    def read(text: str, ground: Ground) -> Any:
        for change in before:
            text = change(text)
        return base.read(text, ground)

    return Rule("; ".join(says), read, base.several)


def _of_length(text: str, characters: int | str | None) -> str:
    count = len(_PARTS_OF_CODES.sub("", plain_text(text)))
    if count != characters:
        raise ContentError(
            "code-length", f"{count} characters, not {characters}: a program may have taken its leading zeros away", value=text
        )
    return text


def _as_stated(text: str, decimal: str, thousands: str | None) -> str:
    """A number as this source writes it, as the rules read it: a point before the fraction, nothing between thousands."""
    number = " ".join(text.split()).replace("٫", decimal).translate(DIGITS)
    if thousands and re.fullmatch(rf"[0-9]{{1,3}}({re.escape(thousands)}[0-9]{{3}})+({re.escape(decimal)}[0-9]+)?", number):
        number = number.replace(thousands, "")
    if not re.fullmatch(rf"[0-9]*({re.escape(decimal)}[0-9]+)?([eE][+-]?[0-9]+)?", number):
        parted = f", with {thousands!r} between thousands" if thousands else ""
        raise ContentError("field-invalid", f"not a number from 0 written with {decimal!r} before its fraction{parted}", value=text)
    return number.replace(decimal, ".")
