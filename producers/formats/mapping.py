"""A declared mapping: which element becomes which field, in which unit, by which rule. A table to read and review, and what runs.

A source path names elements from the document's own root downwards (`Traders/Exporter/Exporter_code`), `@name` an attribute, `a | b`
spellings of one element. A field is a dotted path into the type's model; `items[]` begins a new item with each element of its group,
`seal_numbers[]` adds to a list. A field that begins with `.` is a note: it is not part of the data, and the format's `finish` reads it.

What a document says and no row takes is kept under `extensions.<format>`, each text by its path with the places of what repeats:
`Item[2]/Taxation/Taxation_line[1]/Duty_tax_code`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from producers.formats import rules
from producers.formats.dates import dates_of
from producers.formats.reading import NOWHERE, Conventions, Described, LocatedProblem, Place
from producers.formats.rules import Ground, NotTaken, Rule
from schemas.errors import ContentError
from schemas.limits import TEXT_CHARACTERS


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `joins`: where the field has a text already, this one is set behind it."""

    source: str
    field: str
    rule: Rule
    unit: str = ""
    joins: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Elements that repeat; each begins an element of the list `field` (`items[]`, `items[].documents[]`)."""

    source: str
    field: str


@dataclass(slots=True)
class Step:
    """A place in the tree of source paths: what is taken from an element here, and from those beneath it."""

    rows: list[tuple[Row, tuple[str, ...]]] = field(default_factory=list)  # with the field's steps within its group
    opens: str | None = None
    below: dict[str, Step] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A text of a document that says something: where it stands, what takes it, and which part of the data it belongs to."""

    place: Place
    text: str
    rows: Sequence[tuple[Row, tuple[str, ...]]]
    into: Target


@dataclass(slots=True, eq=False)
class Target:
    """A part of the data that is being filled: the declaration, an item, a document. What says nothing is no part of the data."""

    data: dict[str, Any]
    place: Place = NOWHERE
    list_name: str = ""
    parent: Target | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    children: list[Target] = field(default_factory=list)

    def opened(self, list_name: str, place: Place) -> Target:
        """Begin a new element of one of its lists."""
        target = Target({}, place, list_name, self)
        self.children.append(target)
        return target

    def of(self, list_name: str) -> list[Target]:
        """The elements of one of its lists that say something, in the order of the data."""
        return [child for child in self.children if child.list_name == list_name and child.says_something]

    @property
    def says_something(self) -> bool:
        """Whether any field of it, or beneath it, has a value."""
        return bool(self.data) or any(child.says_something for child in self.children)

    @property
    def name(self) -> str:
        """Its own path in the data so far, such as `items.2`."""
        if self.parent is None:
            return ""
        before = self.parent.children
        number = sum(child.list_name == self.list_name and child.says_something for child in before[: before.index(self)])
        return f"{self.parent.name}.{self.list_name}.{number}".lstrip(".")

    def place_of(self, name: str) -> Place:
        """Tell where the value of a field stands; of what has no place of its own, where that begins which holds it."""
        steps = name.split(".")
        if len(steps) > 1 and steps[1].isdigit():
            elements = self.of(steps[0])
            if int(steps[1]) < len(elements):
                return elements[int(steps[1])].place_of(".".join(steps[2:]))
        while steps:
            if found := self.places.get(".".join(steps)):
                return found
            steps.pop()
        return self.place


@dataclass(slots=True)
class Filled:
    """A document after the mapping: the data as far as it goes, what was kept beside it, and what is wrong."""

    root: Target
    extensions: dict[str, str] = field(default_factory=dict)
    problems: list[LocatedProblem] = field(default_factory=list)
    warnings: list[LocatedProblem] = field(default_factory=list)

    def refuse(self, code: str, text: str, *, field: str | None = None, value: object = None, place: Place | None = None) -> None:
        """Note that the document cannot be taken, and why."""
        problem = ContentError(code, text, field=field, value=value).problems[0]
        self.problems.append(LocatedProblem(problem, place or self.root.place_of(field or "")))

    def warn(self, code: str, text: str, *, field: str | None = None, value: object = None, place: Place | None = None) -> None:
        """Note what a person should know although the document is taken."""
        problem = ContentError(code, text, field=field, value=value).problems[0]
        self.warnings.append(LocatedProblem(problem, place or self.root.place_of(field or "")))


class Mapping:
    """The table of one format or message, ready to run."""

    def __init__(self, rows: Sequence[Row], groups: Sequence[Group] = ()) -> None:
        self.rows = tuple(rows)
        self.groups = tuple(groups)

    @cached_property
    def root(self) -> Step:
        """The tree of source paths."""
        root = Step()
        for group in self.groups:
            for step in self._steps(root, group.source):
                step.opens = group.field.removesuffix("[]").rpartition("[].")[2]
        for row in self.rows:
            steps = tuple(row.field.rpartition("[].")[2].split("."))
            if row.field.startswith("."):
                steps = (row.field,)
            for step in self._steps(root, row.source):
                step.rows.append((row, steps))
        return root

    @staticmethod
    def _steps(root: Step, source: str) -> Iterator[Step]:
        for spelling in source.split(" | "):
            step = root
            for name in spelling.split("/"):
                step = step.below.setdefault(name, Step())
            yield step

    def describe(self) -> tuple[Described, ...]:
        """The table as people read it."""
        return tuple(Described(row.source, row.field, row.unit, row.rule.says) for row in self.rows)

    def fill(self, leaves: Sequence[Leaf], root: Target, conventions: Conventions) -> Filled:
        """Bring the texts of a document into the data, each by its rule; what is wrong is noted, all of it."""
        dates = (leaf.text.strip() for leaf in leaves if any(row.rule is rules.DAY for row, _ in leaf.rows))
        ground = Ground(conventions, dates_of(dates, conventions.date_order))
        filled = Filled(root)
        for leaf in leaves:
            taken = False
            for row, steps in leaf.rows:  # each of them: one text may fill two fields
                taken |= _take(leaf, row, steps, ground, filled)
            if not taken:
                filled.extensions[leaf.place.path or ""] = leaf.text.strip()[:TEXT_CHARACTERS]
        _gather(root)
        return filled


def _take(leaf: Leaf, row: Row, steps: tuple[str, ...], ground: Ground, filled: Filled) -> bool:
    """Whether the row has taken the text, or found it wrong."""
    try:
        value = row.rule.read(leaf.text.strip(), ground)
    except NotTaken as told:
        filled.warn(told.code, str(told), field=_name(leaf, steps), value=leaf.text.strip(), place=leaf.place)
        return False
    except ContentError as error:
        problem = error.problems[0].model_copy(update={"field": _name(leaf, steps)})
        filled.problems.append(LocatedProblem(problem, leaf.place))
        return True
    if value is None or value in ("", []):
        return False
    if steps[0].startswith("."):
        return bool(leaf.into.notes.setdefault(steps[0], value) == value)
    *above, last = steps
    part = leaf.into.data
    for step in above:
        part = part.setdefault(step, {})
    leaf.into.places.setdefault(".".join(steps).removesuffix("[]"), leaf.place)
    if last.endswith("[]"):
        part.setdefault(last[:-2], []).extend(value if row.rule.several else [value])
    elif last not in part:
        part[last] = value
    elif row.joins:
        part[last] += value
    else:
        return bool(part[last] == value)  # said twice: the first stands, another is kept beside it
    return True


def _name(leaf: Leaf, steps: tuple[str, ...]) -> str:
    return ".".join(filter(None, (leaf.into.name, *(step.removesuffix("[]") for step in steps)))).lstrip(".")


def _gather(target: Target) -> None:
    """Put the elements of lists into their lists; those that say nothing are left out."""
    for child in target.children:
        _gather(child)
        if child.data:
            target.data.setdefault(child.list_name, []).append(child.data)
