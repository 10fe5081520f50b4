"""The seam of formats: what a file is read into, and what a format must offer. Which formats there are stands in `registry`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from schemas.declarations import MessageFunction
from schemas.drafts import NEXT, VERSIONED, unnumbered
from schemas.errors import Problem
from schemas.values import DateOrder, Versions

HEAD_BYTES = 16_384  # what `recognises` is shown of a file: people write long remarks before the first element


@dataclass(frozen=True, slots=True)
class Conventions:
    """What the files of one source leave unsaid, as exchange.toml tells it (`posts.X.reading`).

    `codes` translates local codes: list (`countries`, `package-kinds`, …) to local code to the list's own. Nothing of it is ever guessed:
    what is needed and not told makes a file refused, or its declaration a draft. `columns` is the mapping file of its tables, as loaded
    (`columns.columns_of` gives it): the formats of tables know what it is. With `versions` "next", a declaration without a version is the
    next one of its reference; `correction_reason` is why it corrects the one before, where the document does not say it.
    """

    administration: str | None = None
    office: str | None = None
    date_order: DateOrder | None = None
    time_zone: ZoneInfo | None = None
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    columns: object | None = None
    tajik_lookalikes: bool = False
    versions: Versions = "stated"
    correction_reason: str | None = None


class Place(NamedTuple):
    """Where in its file something stands: an element's or column's path, and the line, from 1."""

    path: str | None = None
    line: int | None = None


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class LocatedProblem:
    """A problem, or a warning, and where in the file it stands, as far as that is known."""

    problem: Problem
    place: Place = NOWHERE

    @property
    def code(self) -> str:
        """The problem's code."""
        return self.problem.code

    def __str__(self) -> str:
        line = f"line {self.place.line}" if self.place.line else None
        where = ", ".join(filter(None, (self.place.path, line)))
        return f"{where}: {self.problem}" if where else str(self.problem)


def nowhere(_field: str) -> Place:
    """Say of no field where it stands."""
    return NOWHERE


@dataclass(frozen=True, slots=True)
class ReadDeclaration:
    """One declaration or crossing event as a file says it: its type, and its data in the shape of that type's model, not yet validated.

    `line` is where it begins in its file, from 1, where a file may hold several and the format knows it. `place_of` tells where the value
    of a field (`items.2.hs_code`) stands; `warnings` tell what was read all the same.

    Where the file counts no versions and yet is a later one, `data["version"]` is `schemas.drafts.NEXT`: intake gives the number. Should
    that make it a correction, `correction_reason` is why, by its source's settings. `type_told` is False for a correction that does not
    say which declaration it corrects: it is of the type of that one.
    """

    type: str
    data: dict[str, Any]
    line: int | None = None
    place_of: Callable[[str], Place] = field(default=nowhere, compare=False, repr=False)
    warnings: Sequence[LocatedProblem] = ()
    correction_reason: str | None = None
    type_told: bool = True


def as_settings_say(part: Part, conventions: Conventions) -> Part:
    """Give a part as its source's settings complete it: with the version that intake gives, and with the reason of corrections."""
    if isinstance(part, Unread):
        return part
    data = part.data
    function = data.get("message_function", MessageFunction.ORIGINAL)
    if conventions.versions == NEXT and "version" not in data and function == MessageFunction.ORIGINAL and part.type in VERSIONED:
        data = {**data, "version": NEXT}
    elif not unnumbered(data):
        return part
    reason = conventions.correction_reason
    if reason is not None and function != MessageFunction.ORIGINAL:
        data = {"correction_reason": reason} | data
    return replace(part, data=data, correction_reason=reason)


def located_in(read: ReadDeclaration | None, problems: Sequence[Problem]) -> tuple[LocatedProblem, ...]:
    """Say of problems found with the data where they stand in its file."""
    if read is None:
        return tuple(LocatedProblem(problem) for problem in problems)
    places = [read.place_of(problem.field or "") for problem in problems]
    return tuple(
        LocatedProblem(problem, Place(place.path, place.line or read.line)) for problem, place in zip(problems, places, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of a file that could not be read as a declaration, and why; the parts after it may be good."""

    problems: tuple[LocatedProblem, ...]
    line: int | None = None

    @classmethod
    def of(cls, problems: Sequence[Problem], line: int | None = None, path: str | None = None) -> Unread:
        """Make it of problems that stand in one place."""
        return cls(tuple(LocatedProblem(problem, Place(path, line)) for problem in problems), line)


Part = ReadDeclaration | Unread


@dataclass(frozen=True, slots=True)
class Reading:
    """A file being read. `parts` come one by one, so that a long file costs no more memory than a short one.

    `tells_its_end`: the content itself shows whether it is whole (one JSON object, one XML document). Where it does not (one object a
    line, rows of CSV), a file may be taken only when nobody is writing it any more.
    """

    parts: Iterator[Part]
    tells_its_end: bool


@dataclass(frozen=True, slots=True)
class Described:
    """One line of a format's mapping, for people who review it: source path, field, unit and rule."""

    source: str
    field: str
    unit: str
    rule: str


class Format(Protocol):
    """A file format: one module and one entry point of the group "panj.formats" that names an object like this."""

    @property
    def name(self) -> str:
        """How settings, commands and reasons call it, such as `canonical-json`."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with `head` (its first `HEAD_BYTES` at most) is of this format, broken or not."""

    def read(self, stream: BinaryIO, conventions: Conventions) -> Reading:
        """Read a file from its beginning. What is wrong with it comes as `Unread`; only the stream's own OSError is raised."""

    def describe(self) -> Sequence[Described]:
        """Give the declared mapping, line by line, in the order of the source."""


@runtime_checkable
class WritableFormat(Format, Protocol):
    """A format that declarations can be written in, too."""

    @property
    def ending(self) -> str:
        """How names of its files end, such as `.xml`."""

    def write(self, event_type: str, data: dict[str, Any], conventions: Conventions) -> bytes:
        """Write one declaration, whole or a draft, as the system with these conventions takes it.

        ContentError `format-cannot-say` where the format has no such document.
        """


@runtime_checkable
class TableFormat(Format, Protocol):
    """A format of rows, which mean what the mapping file of their source says."""

    def may_be(self, head: bytes) -> bool:
        """Whether a file that no format recognises was meant for this one, where its source has a mapping file."""

    def header(self, stream: BinaryIO) -> list[str]:
        """Give the names in a table's first row; ContentError where there is none."""
