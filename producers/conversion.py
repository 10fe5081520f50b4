"""Trying files without sending them: each is read, checked as far as it goes, and told of, whole or as a draft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from producers.formats.reading import HEAD_BYTES, LocatedProblem, Part, ReadDeclaration, Unread, located_in
from producers.formats.registry import Reader
from producers.reasons import told
from producers.sending import parts_of_files
from schemas.drafts import NEXT, check, unnumbered
from schemas.errors import ContentError, PanjError


@dataclass(frozen=True, slots=True)
class Document:
    """A declaration or crossing event in its canonical form, JSON-ready, the `number`th of its file.

    `missing`: the fields without which it is a draft.
    """

    type: str
    data: dict[str, Any]
    missing: tuple[str, ...]
    number: int

    @classmethod
    def of(cls, event_type: str, data: dict[str, Any], number: int) -> Document:
        """Check the data and give them as they are exchanged; ContentError with what is wrong.

        A version that intake will give stays said as that.
        """
        value, lacking = check(event_type, data)
        given = {"version": NEXT} if unnumbered(data) else {}
        return cls(event_type, value.model_dump(mode="json", exclude_defaults=True) | given, lacking, number)

    @property
    def canonical(self) -> dict[str, Any]:
        """The canonical object, with what makes it a draft beside it."""
        draft = {"draft": True, "missing": list(self.missing)} if self.missing else {}
        return {"type": self.type, **draft, "declaration": self.data}


@dataclass(slots=True)
class Tried:
    """What has come of one file. It is taken where nothing in it is wrong, and something was in it.

    `unnumbered` counts the documents whose version intake will give.
    """

    file: str
    format: str | None = None
    documents: int = 0
    drafts: int = 0
    unnumbered: int = 0
    problems: list[LocatedProblem] = field(default_factory=list)
    warnings: list[LocatedProblem] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        """Whether all of it is good."""
        return not self.problems

    def told(self) -> dict[str, Any]:
        """Give it as one JSON object; what is wrong first stands in `code`, `path`, `line`, `value` and `message`."""
        first = self.problems[0] if self.problems else None
        return {
            "file": self.file,
            "format": self.format,
            "outcome": "taken" if self.taken else "refused",
            "code": first.code if first else None,
            "path": (first.place.path or first.problem.field) if first else None,
            "line": first.place.line if first else None,
            "value": first.problem.value if first else None,
            "message": first.problem.text if first else None,
            "declarations": self.documents,
            "drafts": self.drafts,
            "versions_given_at_intake": self.unnumbered,
            "problems": [told(problem) for problem in self.problems],
            "warnings": [_warning(warning) for warning in self.warnings],
        }


def _warning(warning: LocatedProblem) -> dict[str, Any]:
    problem, place = warning.problem, warning.place
    return {"code": problem.code, "path": place.path, "line": place.line, "value": problem.value, "message": problem.text}


def try_file(path: Path, reader: Reader, take: Callable[[Document], None]) -> Tried:
    """Read one file to its end, give each good document to `take`, and tell what has come of it.

    Nothing is raised for what is wrong with the file; a ContentError of `take` is a problem of the file too.
    """
    tried = Tried(str(path), _format_of(path, reader))
    for _, part in parts_of_files([path], reader):
        try:
            document = _document(part, tried)
            if document is not None:
                take(document)
                tried.documents += 1
                tried.drafts += bool(document.missing)
                tried.unnumbered += unnumbered(document.data)
        except ContentError as error:
            tried.problems += located_in(part if isinstance(part, ReadDeclaration) else None, error.problems)
    if not tried.documents and not tried.problems:
        tried.problems.append(LocatedProblem(ContentError("file-empty", "there is no declaration in it").problems[0]))
    return tried


def _document(part: Part, tried: Tried) -> Document | None:
    if isinstance(part, Unread):
        tried.problems += part.problems
        return None
    tried.warnings += part.warnings
    return Document.of(part.type, part.data, tried.documents + 1)


def _format_of(path: Path, reader: Reader) -> str | None:
    try:
        with path.open("rb") as stream:
            return reader.format_of(stream.read(HEAD_BYTES)).name
    except (OSError, PanjError):
        return None
