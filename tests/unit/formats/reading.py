"""Reading self-made documents in tests: with what no settings say, or with a source's."""

from __future__ import annotations

from io import BytesIO
from zoneinfo import ZoneInfo

from producers.formats.reading import Conventions, Format, LocatedProblem, Part, ReadDeclaration, Unread
from schemas.catalogue import CATALOGUE
from schemas.drafts import check

DUSHANBE = Conventions(administration="tj", office="TJ105000", time_zone=ZoneInfo("Asia/Dushanbe"))


def parts_of(reader: Format, document: bytes | str, conventions: Conventions | None = None) -> list[Part]:
    """Read a document to its end."""
    raw = document.encode() if isinstance(document, str) else document
    return list(reader.read(BytesIO(raw), conventions or Conventions()).parts)


def taken(reader: Format, document: bytes | str, conventions: Conventions | None = None) -> ReadDeclaration:
    """Read a document of one declaration, which is checked as far as it goes."""
    (part,) = parts_of(reader, document, conventions)
    assert isinstance(part, ReadDeclaration), part
    check(part.type, part.data)
    return part


def refused(reader: Format, document: bytes | str, conventions: Conventions | None = None) -> LocatedProblem:
    """Read a document that is refused, and give what is wrong first."""
    last = parts_of(reader, document, conventions)[-1]
    assert isinstance(last, Unread), last
    return last.problems[0]


def assert_read_or_refused(reader: Format, document: bytes, conventions: Conventions) -> None:
    """Each part is sound as far as it goes, or refused with codes of the catalogue; nothing is raised."""
    for part in parts_of(reader, document, conventions):
        if isinstance(part, Unread):
            assert all(problem.code in CATALOGUE for problem in part.problems)
        else:
            check(part.type, part.data)


def warnings_of(part: ReadDeclaration) -> set[str]:
    """The codes of what a person is told."""
    return {warning.code for warning in part.warnings}
