"""A declared mapping: which element becomes which field, in which unit, by which rule. A table to read and review, and what runs.

A source path names elements from the document's own root downwards (`Traders/Exporter/Exporter_code`), `@name` an attribute, `a | b`
spellings of one element. `Classification[IdentificationTypeCode=TSP,HS]` is one whose child says one of these; `[PreviousCode]` one that
has this child, `[PreviousCode=]` one that has not, `[@unitCode=KGM,]` one whose attribute says so or is not there, `[1]` the first of
several.

A field is a dotted path into the type's model; `items[]` begins a new item with each element of its group, `seal_numbers[]` adds to a
list. A field or a list that begins with `.` is a note: it is not part of the data, and the format makes of it what no row can say.

What a document says and no row takes is kept under `extensions.<format>`, each text by its path with the places of what repeats:
`Item[2]/Taxation/Taxation_line[1]/Duty_tax_code`. Items, and other elements of the data's lists, have there the places that they have in
the data: blank ones in between do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from producers.formats import rules
from producers.formats.dates import dates_of
from producers.formats.filling import Filled, Leaf, Target, within
from producers.formats.reading import Conventions, Described, LocatedProblem
from producers.formats.rules import Ground, NotTaken, Rule
from schemas.errors import ContentError, shown


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Where the field has a value already, the first one stands and others are kept beside it. `joins`: what stands in the same element is set
    behind it. `again`: wherever it stands, it is set behind (`join`), added (`sum`), or all are left out where they do not `agree`.
    `otherwise`: it is read only after all other rows, for where none of them has given the field.
    """

    source: str
    field: str
    rule: Rule
    unit: str = ""
    joins: bool = False
    again: Literal["", "join", "sum", "agree"] = ""
    otherwise: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Elements that repeat; each begins an element of the list `field` (`items[]`, `items[].documents[]`)."""

    source: str
    field: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A row ready to run, and where it puts what it reads: `name` within its group, of which `last` is the step under all `above`."""

    row: Row
    read: Callable[[str, Ground], Any]
    name: str
    above: tuple[str, ...]
    last: str
    adds: bool  # to a list
    note: bool

    @classmethod
    def of(cls, row: Row, steps: Sequence[str]) -> Slot:
        """Make a row ready; `steps` are those of its field within its group."""
        *above, last = steps
        name = ".".join(steps).removesuffix("[]")
        return cls(row, row.rule.read, name, tuple(above), last.removesuffix("[]"), last.endswith("[]"), last.startswith("."))


@dataclass(slots=True)
class Step:
    """A place in the tree of source paths: what is taken from an element here, and from those beneath it."""

    slots: list[Slot] = field(default_factory=list)
    opens: str | None = None
    below: dict[str, Step] = field(default_factory=dict)
    told_apart: dict[str, list[tuple[str, frozenset[str] | None, Step]]] = field(default_factory=dict)  # name: child, its texts, step
    first: dict[str, Step] = field(default_factory=dict)  # what takes the first of several only

    def to(self, name: str) -> Step:
        """The step to an element of this name; made where there is none yet."""
        found = _QUALIFIED.fullmatch(name)
        if found is None:
            return self.below.setdefault(name, Step())
        if found[2] == "1":
            return self.first.setdefault(found[1], Step())
        known = self.below.get(name)
        if known is None:
            known = self.below[name] = Step()
            texts = None if found[3] is None else frozenset(found[3].split(","))
            self.told_apart.setdefault(found[1], []).append((found[2], texts, known))
        return known


_QUALIFIED = re.compile(r"([^\[]+)\[([^=\]]+)(?:=([^\]]*))?\]")


Said = tuple[Leaf, Sequence[Slot], Target]  # what takes the text, and which part of the data it belongs to


class Mapping:
    """The table of one format or message, ready to run."""

    def __init__(self, rows: Sequence[Row], groups: Sequence[Group] = (), *, tolerant: bool = False) -> None:
        self.rows = tuple(rows)
        self.groups = tuple(groups)
        self.tolerant = tolerant  # what its own structure allows, and we cannot say, is kept with a warning instead of refused

    @cached_property
    def root(self) -> Step:
        """The tree of source paths."""
        root = Step()
        for group in self.groups:
            for step in self._steps(root, group.source):
                step.opens = group.field.removesuffix("[]").rpartition("[].")[2]
        for row in self.rows:
            name = row.field.rpartition("[].")[2]
            slot = Slot.of(row, (name,) if name.startswith(".") else name.split("."))
            for step in self._steps(root, row.source):
                step.slots.append(slot)
        return root

    @staticmethod
    def _steps(root: Step, source: str) -> Iterator[Step]:
        for spelling in source.split(" | "):
            step = root
            for name in spelling.split("/"):
                step = step.to(name)
            yield step

    def describe(self) -> tuple[Described, ...]:
        """The table as people read it."""
        return tuple(Described(row.source, row.field, row.unit, row.rule.says) for row in self.rows)

    def fill(self, said: Sequence[Said], root: Target, conventions: Conventions) -> Filled:
        """Bring the texts of a document into the data, each by its rule; what is wrong is noted, all of it."""
        dates = (leaf.text for leaf, slots, _ in said for slot in slots if slot.row.rule is rules.DAY or slot.row.rule is rules.SHOWS_ORDER)
        ground = Ground(conventions, dates_of(dates, conventions.date_order))
        filled = Filled(root)
        later = [each for each in said if each[1][0].row.otherwise]
        for leaf, slots, target in (*(each for each in said if not each[1][0].row.otherwise), *later) if later else said:
            taken = False
            for slot in slots:  # each of them: one text may fill two fields
                taken |= self._take(leaf, slot, target, ground, filled)
            if not taken:
                target.kept.append(leaf)
        return filled

    def _take(self, leaf: Leaf, slot: Slot, target: Target, ground: Ground, filled: Filled) -> bool:
        """Whether the row has taken the text, or found it wrong."""
        try:
            value = slot.read(leaf.text, ground)
        except NotTaken as told:
            filled.warn(told.code, str(told), field=_name(target, slot), value=leaf.text, place=leaf.place)
            return False
        except ContentError as error:
            problem = error.problems[0].model_copy(update={"field": _name(target, slot), "value": shown(leaf.text)})
            (filled.warnings if self.tolerant else filled.problems).append(LocatedProblem(problem, leaf.place))
            return not self.tolerant
        if not value and not isinstance(value, int):  # 0 and False say something
            return False
        return _set(leaf, slot, target, value, filled)


def _set(leaf: Leaf, slot: Slot, target: Target, value: Any, filled: Filled) -> bool:
    """Whether the value has become the field's, or a part of it."""
    name = slot.name
    if name in target.disputed:
        return False
    part = target.notes if slot.note else target.data
    for step in slot.above:
        part = part.setdefault(step, {})
    if slot.adds:
        part.setdefault(slot.last, []).extend(value if slot.row.rule.several else [value])
    elif slot.last not in part:
        part[slot.last] = value
    elif not _set_again(leaf, slot, target, part, value, filled):
        return False
    target.leaves.setdefault(name, []).append(leaf)
    return True


def _set_again(leaf: Leaf, slot: Slot, target: Target, part: dict[str, Any], value: Any, filled: Filled) -> bool:
    """Whether a value that is not the field's first has become a part of it."""
    row, last = slot.row, slot.last
    if row.again == "join" or (row.joins and within(target.leaves[slot.name][0]) == within(leaf)):
        part[last] += value
    elif row.again == "sum":
        part[last] = value + part[last] if isinstance(value, int) else format(Decimal(value) + Decimal(part[last]), "f")
    elif part[last] != value:
        if row.again == "agree":
            target.disputed.add(slot.name)
            filled.set_aside(target, slot.name, "values-differ", "several that are not the same, where one is said; all are kept")
        return False  # otherwise the first stands, another is kept beside it
    return True


def _name(target: Target, slot: Slot) -> str:
    return f"{target.name}.{slot.name}".lstrip(".")
