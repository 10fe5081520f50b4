"""What a document's texts become on their way into the data: the parts of the data being filled, where their values stand, what is kept.

By which rows they come there stands in `mapping`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from producers.formats import rules
from producers.formats.reading import NOWHERE, LocatedProblem, Place
from schemas.errors import ContentError
from schemas.limits import TEXT_CHARACTERS


@dataclass(slots=True, eq=False)
class Leaf:
    """A text of a document that says something, stripped, and where it stands."""

    path: str | None
    line: int | None
    text: str

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.path, self.line)


@dataclass(slots=True, eq=False)
class Target:
    """A part of the data that is being filled: the declaration, an item, a document. What says nothing is no part of the data.

    `name` is its own path, such as `items.2`, counted over all that were opened. No part knows what it is a part of: what was read is
    freed as soon as nobody needs it, without Python's collector.
    """

    data: dict[str, Any]
    place: Place = NOWHERE
    list_name: str = ""
    name: str = ""
    notes: dict[str, Any] = field(default_factory=dict)
    leaves: dict[str, list[Leaf]] = field(default_factory=dict)
    disputed: set[str] = field(default_factory=set)
    kept: list[Leaf] = field(default_factory=list)  # what no field says
    children: list[Target] = field(default_factory=list)
    opened_lists: dict[str, int] = field(default_factory=dict)

    def opened(self, list_name: str, place: Place) -> Target:
        """Begin a new element of one of its lists."""
        number = self.opened_lists.get(list_name, 0)
        target = Target({}, place, list_name, f"{self.name}.{list_name}.{number}".lstrip("."))
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

    def places(self) -> Places:
        """Where each value of it, and beneath it, stands by now."""
        known: dict[str, tuple[str | None, int | None]] = {}
        self._note_places("", known)
        return Places(known)

    def _note_places(self, before: str, known: dict[str, tuple[str | None, int | None]]) -> None:
        known[before[:-1]] = (self.place.path, self.place.line)
        for name, leaves in self.leaves.items():
            known[before + name] = (leaves[0].path, leaves[0].line)
        counted: dict[str, int] = {}
        for child in self.children:
            if child.says_something:
                number = counted.get(child.list_name, 0)
                counted[child.list_name] = number + 1
                child._note_places(f"{before}{child.list_name}.{number}.", known)

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

    def texts_kept(self, path: str | None = None) -> list[tuple[str, Leaf]]:
        """Give what is kept of it and beneath it, by path; `path` is its own where another than in the document."""
        old = self.place.path or ""
        if path is None or path == old:
            found = [(leaf.path or "", leaf) for leaf in self.kept]
        else:
            found = [(_moved(leaf.path or "", old, path), leaf) for leaf in self.kept]
        if not self.children:
            return found
        counted: Counter[str] = Counter()
        for in_data in (True, False):  # first what is in the data, behind it what only has kept texts
            for child in self.children:
                if child.says_something is in_data and (in_data or child.keeps_something):
                    counted[child.list_name] += 1
                    place = _moved(child.place.path or "", old, path).rpartition("[")[0]
                    found += child.texts_kept(f"{place}[{counted[child.list_name]}]")
        return found


@dataclass(frozen=True, slots=True)
class Places:
    """Where the values of a document stand: path and line by the path in the data (`items.2.hs_code`), of the document's own begin by "".

    All that is left of a document beside its data: batches hold hundreds, and Python's collector does not look into plain tuples.
    """

    known: dict[str, tuple[str | None, int | None]]

    def of(self, name: str) -> Place:
        """Tell where the value of a field stands; of what has no place of its own, where that begins which holds it."""
        while name and name not in self.known:
            name = name.rpartition(".")[0]
        return Place(*self.known[name])


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
        self.problems.append(LocatedProblem(problem, place or self.root.places().of(field or "")))

    def warn(self, code: str, text: str, *, field: str | None = None, value: object = None, place: Place | None = None) -> None:
        """Note what a person should know although the document is taken."""
        problem = ContentError(code, text, field=field, value=value).problems[0]
        self.warnings.append(LocatedProblem(problem, place or self.root.places().of(field or "")))

    def text_kept(self, leaf: Leaf) -> str:
        """Give a text as it may be kept beside the data; where that is a part of it only, with a warning."""
        text = rules.safe(leaf.text)
        if len(text) <= TEXT_CHARACTERS:
            return text
        self.warn("text-cut", f"{len(text):,} characters, of which the first {TEXT_CHARACTERS:,} are kept", value=text, place=leaf.place)
        return text[:TEXT_CHARACTERS]

    def extensions(self) -> dict[str, str]:
        """Give what the document says and no field does, each text by its path."""
        kept: dict[str, str] = {}
        again: Counter[str] = Counter()
        for path, leaf in self.root.texts_kept():
            name = path if len(path) <= _PATH_CHARACTERS and path.isascii() else rules.safe(path)[-_PATH_CHARACTERS:]
            if name in kept:  # one that nobody expects to repeat, and does
                again[name] += 1
                name = f"{name[10 - _PATH_CHARACTERS :]}[{again[name] + 1}]"
            text = leaf.text
            plain = len(text) <= TEXT_CHARACTERS and text.isascii() and text.isprintable()  # nearly all are, and there are hundreds
            kept[name] = text if plain else self.text_kept(leaf)
        return kept

    def set_aside(self, target: Target, name: str, code: str, text: str) -> None:
        """Take the value of a field out of the data again: it is kept as it stood, with a warning."""
        first = next(iter(target.leaves.get(name, ())), None)
        path, place = f"{target.name}.{name}".lstrip("."), first.place if first else target.place
        target.drop(name)
        self.warn(code, text, field=path, value=first.text.strip() if first else None, place=place)


def within(leaf: Leaf) -> str:
    """The path of the element that holds a text's own."""
    return (leaf.path or "").rpartition("/")[0]


def gather(target: Target) -> None:
    """Put the elements of lists into their lists; those that say nothing are left out. The last step, when each is as it shall be."""
    for child in target.children:
        gather(child)
        if child.data and not child.list_name.startswith("."):
            target.data.setdefault(child.list_name, []).append(child.data)
