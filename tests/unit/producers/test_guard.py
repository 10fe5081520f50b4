from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from producers.formats.reading import Conventions, Described, Part, ReadDeclaration, Reading, Unread
from producers.formats.registry import Reader
from producers.sources.documents import read_document
from producers.sources.files import FileInHand, FoundFile, Mark
from schemas.errors import ContentError, UnavailableError
from tests.unit.producers.examples import EXPORT

GOOD = ReadDeclaration(EXPORT, {"administration": "tj"}, 1)


class OneGoodThen:
    """A partner's format: of each document that begins with `ours` it reads one declaration, and then fails."""

    name = "partners"
    title = "a partner's own"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def recognises(self, head: bytes) -> bool:
        return head.startswith(b"ours")

    def read(self, stream: BinaryIO, conventions: Conventions) -> Reading:
        return Reading(self._parts(), tells_its_end=True)

    def describe(self) -> tuple[Described, ...]:
        return ()

    def _parts(self) -> Iterator[Part]:
        yield GOOD
        raise self._error


def of_a_file(tmp_path: Path, reader: Reader) -> Iterator[Part]:
    path = tmp_path / "one.txt"
    path.write_bytes(b"ours")
    return FileInHand(FoundFile(path, Mark.of(path.stat()), regular=True), reader).parts()


def of_memory(tmp_path: Path, reader: Reader) -> Iterator[Part]:
    return read_document(b"ours", reader, source="http")


both = pytest.mark.parametrize("parts_of", [of_a_file, of_memory])
PartsOf = Callable[[Path, Reader], Iterator[Part]]


@both
def test_the_surprise_of_a_format_costs_its_document_only_and_not_what_was_good_of_it(parts_of: PartsOf, tmp_path: Path) -> None:
    good, unread = parts_of(tmp_path, Reader((OneGoodThen(ZeroDivisionError("a secret of the document")),)))
    assert good is GOOD
    assert isinstance(unread, Unread)
    (told,) = unread.problems
    assert told.code == "format-failed"
    assert "ZeroDivisionError" in str(told)
    assert "secret" not in str(told)


@both
def test_what_a_format_refuses_by_itself_is_told_in_its_words(parts_of: PartsOf, tmp_path: Path) -> None:
    _, unread = parts_of(tmp_path, Reader((OneGoodThen(ContentError("form-blank", "nobody has filled it in")),)))
    assert isinstance(unread, Unread)
    assert [problem.code for problem in unread.problems] == ["form-blank"]


def test_a_trouble_of_the_machine_is_no_fault_of_a_file_which_is_left_for_later(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no space"):
        list(of_a_file(tmp_path, Reader((OneGoodThen(OSError(errno.ENOSPC, "no space")),))))


def test_a_trouble_of_the_machine_is_no_fault_of_a_document_which_may_be_given_again(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as told:
        list(of_memory(tmp_path, Reader((OneGoodThen(OSError(errno.ENOSPC, "no space")),))))
    assert told.value.code == "format-away"


def test_a_document_in_no_format_is_nobodys_to_read_and_an_empty_one_is_read_as_that() -> None:
    reader = Reader((OneGoodThen(ZeroDivisionError()),))
    with pytest.raises(ContentError) as told:
        list(read_document(b"theirs", reader, source="http"))
    assert told.value.code == "format-unknown"
    (unread,) = read_document(b"  ", reader, source="http")
    assert isinstance(unread, Unread)
    assert unread.problems[0].code == "file-empty"
