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
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from producers.formats import rules
from producers.formats.dates import dates_of
from producers.formats.reading import NOWHERE, Conventions, Described, LocatedProblem, Place
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


@dataclass(slots=True)
class Step:
    """A place in the tree of source paths: what is taken from an element here, and from those beneath it."""

    rows: list[tuple[Row, tuple[str, ...]]] = field(default_factory=list)  # with the field's steps within its group
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


@dataclass(slots=True, eq=False)
class Leaf:
    """A text of a document that says something: where it stands, what takes it, and which part of the data it belongs to."""

    path: str | None
    line: int | None
    text: str
    rows: Sequence[tuple[Row, tuple[str, ...]]]
    into: Target

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.path, self.line)


@dataclass(slots=True, eq=False)
class Target:
    """A part of the data that is being filled: the declaration, an item, a document. What says nothing is no part of the data."""

    data: dict[str, Any]
    place: Place = NOWHERE
    list_name: str = ""
    parent: Target | None = None
    number: int = 0  # how many of its list were opened before it
    notes: dict[str, Any] = field(default_factory=dict)
    leaves: dict[str, list[Leaf]] = field(default_factory=dict)
    disputed: set[str] = field(default_factory=set)
    kept: list[Leaf] = field(default_factory=list)  # what no field says
    children: list[Target] = field(default_factory=list)
    opened_lists: dict[str, int] = field(default_factory=dict)

    def opened(self, list_name: str, place: Place) -> Target:
        """Begin a new element of one of its lists."""
        number = self.opened_lists.get(list_name, 0)
        target = Target({}, place, list_name, self, number)
        self.opened_lists[list_name] = number + 1
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
    def keeps_something(self) -> bool:
        """Whether any text of it, or beneath it, is kept beside the data."""
        return bool(self.kept) or any(child.keeps_something for child in self.children)

    @property
    def name(self) -> str:
        """Its own path, such as `items.2`."""
        if self.parent is None:
            return ""
        return f"{self.parent.name}.{self.list_name}.{self.number}".lstrip(".")

    def place_of(self, name: str) -> Place:
        """Tell where the value of a field stands; of what has no place of its own, where that begins which holds it."""
        steps = name.split(".")
        if len(steps) > 1 and steps[1].isdigit():
            elements = self.of(steps[0])
            if int(steps[1]) < len(elements):
                return elements[int(steps[1])].place_of(".".join(steps[2:]))
        while steps:
            if found := self.leaves.get(".".join(steps)):
                return found[0].place
            steps.pop()
        return self.place

    def drop(self, name: str) -> None:
        """Take a field, or a note, out of the data again: its texts are kept."""
        self.kept += self.leaves.pop(name, [])
        self.notes.pop(name, None)
        *above, last = name.split(".")
        part = self.data
        for step in above:
            part = part.get(step, {})
        part.pop(last, None)
        if above and not part:
            self.data.pop(above[0], None)

    def drop_all(self) -> None:
        """Do so with everything of it and beneath it."""
        for name in list(self.leaves):
            self.drop(name)
        self.data.clear()
        for child in self.children:
            child.drop_all()

    def forget_kept(self) -> None:
        """Let go of what is kept, once it was taken from here: a batch holds hundreds of documents."""
        self.kept.clear()
        for child in self.children:
            child.forget_kept()

    def texts_kept(self, path: str | None = None) -> list[tuple[str, Leaf]]:
        """Give what is kept of it and beneath it, by path; `path` is its own where another than in the document."""
        old = self.place.path or ""
        moved = path is not None and path != old
        found = [(_moved(leaf.path or "", old, path) if moved else leaf.path or "", leaf) for leaf in self.kept]
        counted: Counter[str] = Counter()
        for in_data in (True, False):  # first what is in the data, behind it what only has kept texts
            for child in self.children:
                if child.says_something is in_data and (in_data or child.keeps_something):
                    counted[child.list_name] += 1
                    place = _moved(child.place.path or "", old, path).rpartition("[")[0]
                    found += child.texts_kept(f"{place}[{counted[child.list_name]}]")
        return found


_PATH_CHARACTERS = 200  # of a name in `extensions`


def _moved(path: str, old: str, new: str | None) -> str:
    return path if new is None or old == new else new + path[len(old) :]


@dataclass(slots=True)
class Filled:
    """A document after the mapping: the data as far as it goes, and what is wrong with it."""

    root: Target
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

    @property
    def extensions(self) -> dict[str, str]:
        """What the document says and no field does, each text by its path."""
        kept: dict[str, str] = {}
        again: Counter[str] = Counter()
        for path, leaf in self.root.texts_kept():
            name = path if len(path) <= _PATH_CHARACTERS and path.isascii() else rules.kept(path)[-_PATH_CHARACTERS:]
            if name in kept:  # one that nobody expects to repeat, and does
                again[name] += 1
                name = f"{name[10 - _PATH_CHARACTERS :]}[{again[name] + 1}]"
            kept[name] = rules.kept(leaf.text)
        return kept

    def set_aside(self, target: Target, name: str, code: str, text: str) -> None:
        """Take the value of a field out of the data again: it is kept as it stood, with a warning."""
        first = next(iter(target.leaves.get(name, ())), None)
        path, place = f"{target.name}.{name}".lstrip("."), first.place if first else target.place
        target.drop(name)
        self.warn(code, text, field=path, value=first.text.strip() if first else None, place=place)


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
            steps = (name,) if name.startswith(".") else tuple(name.split("."))
            for step in self._steps(root, row.source):
                step.rows.append((row, steps))
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

    def fill(self, leaves: Sequence[Leaf], root: Target, conventions: Conventions) -> Filled:
        """Bring the texts of a document into the data, each by its rule; what is wrong is noted, all of it."""
        dates = (leaf.text.strip() for leaf in leaves for row, _ in leaf.rows if row.rule is rules.DAY or row.rule is rules.SHOWS_ORDER)
        ground = Ground(conventions, dates_of(dates, conventions.date_order))
        filled = Filled(root)
        second = [leaf for leaf in leaves if leaf.rows and leaf.rows[0][0].otherwise]
        for leaf in (*(leaf for leaf in leaves if not leaf.rows or not leaf.rows[0][0].otherwise), *second) if second else leaves:
            taken = False
            for row, steps in leaf.rows:  # each of them: one text may fill two fields
                taken |= self._take(leaf, row, steps, ground, filled)
            if not taken:
                leaf.into.kept.append(leaf)
        return filled

    def _take(self, leaf: Leaf, row: Row, steps: tuple[str, ...], ground: Ground, filled: Filled) -> bool:
        """Whether the row has taken the text, or found it wrong."""
        try:
            value = row.rule.read(leaf.text.strip(), ground)
        except NotTaken as told:
            filled.warn(told.code, str(told), field=_name(leaf, steps), value=leaf.text.strip(), place=leaf.place)
            return False
        except ContentError as error:
            problem = error.problems[0].model_copy(update={"field": _name(leaf, steps), "value": shown(leaf.text.strip())})
            (filled.warnings if self.tolerant else filled.problems).append(LocatedProblem(problem, leaf.place))
            return not self.tolerant
        if value is None or value in ("", []):
            return False
        return _set(leaf, row, steps, value, filled)


def _set(leaf: Leaf, row: Row, steps: tuple[str, ...], value: Any, filled: Filled) -> bool:
    """Whether the value has become the field's, or a part of it."""
    last = steps[-1]
    name = ".".join(steps).removesuffix("[]")
    if name in leaf.into.disputed:
        return False
    part = leaf.into.notes if last.startswith(".") else leaf.into.data
    for step in steps[:-1]:
        part = part.setdefault(step, {})
    before = leaf.into.leaves.get(name, [])
    if last.endswith("[]"):
        part.setdefault(last[:-2], []).extend(value if row.rule.several else [value])
    elif last not in part:
        part[last] = value
    elif row.again == "join" or (row.joins and within(before[0]) == within(leaf)):
        part[last] += value
    elif row.again == "sum":
        part[last] = value + part[last] if isinstance(value, int) else format(Decimal(value) + Decimal(part[last]), "f")
    elif row.again == "agree" and part[last] != value:
        leaf.into.disputed.add(name)
        filled.set_aside(leaf.into, name, "values-differ", "several that are not the same, where one is said; all are kept")
        return False
    elif part[last] != value:
        return False  # said twice: the first stands, another is kept beside it
    leaf.into.leaves.setdefault(name, []).append(leaf)
    return True


def within(leaf: Leaf) -> str:
    """The path of the element that holds a text's own."""
    return (leaf.path or "").rpartition("/")[0]


def _name(leaf: Leaf, steps: tuple[str, ...]) -> str:
    return ".".join(filter(None, (leaf.into.name, *(step.removesuffix("[]") for step in steps)))).lstrip(".")


def gather(target: Target) -> None:
    """Put the elements of lists into their lists; those that say nothing are left out. The last step, when each is as it shall be."""
    for child in target.children:
        gather(child)
        if child.data and not child.list_name.startswith("."):
            target.data.setdefault(child.list_name, []).append(child.data)
