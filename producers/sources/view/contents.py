"""What a row of a view says: a whole document in one column, or a declaration by its columns and a mapping file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

from broker.settings.sources import ViewSource
from producers.formats.columns_files import load_columns
from producers.formats.grouping import rows_to_parts
from producers.formats.reading import Part, Unread, as_settings_say
from producers.formats.registry import Reader
from producers.sources.documents import read_document
from schemas.errors import ContentError, SettingsError

_ENCODING = re.compile(r"""\A(\s*<\?xml[^>]*?)\s+encoding\s*=\s*("[^"]*"|'[^']*')""")


class Content(Protocol):
    """What is asked of a row beside its place, and what is made of that."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to ask for."""

    def parts(self, values: Sequence[Any]) -> list[Part]:
        """The declarations that a row holds, by the values of these columns; what is wrong with it comes as `Unread`."""

    def raw(self, values: Sequence[Any]) -> bytes:
        """What is shown to a person who has to look at the row."""


def content_of(source: ViewSource, reader: Reader) -> Content:
    """Tell what a source's rows hold; SettingsError where its mapping file is wrong, or makes a declaration of several rows."""
    return DocumentColumn(source, reader) if source.document is not None else MappedColumns(source, reader)


class DocumentColumn:
    """A column with a whole document."""

    def __init__(self, source: ViewSource, reader: Reader) -> None:
        self.columns = (source.document or "",)
        self._name = source.name
        self._reader = reader

    def parts(self, values: Sequence[Any]) -> list[Part]:
        """Read the document by its format."""
        try:
            return list(read_document(bytes_of(values[0]), self._reader, source=self._name))
        except ContentError as error:
            return [Unread.of(error.problems)]

    def raw(self, values: Sequence[Any]) -> bytes:
        """The document as it is."""
        return bytes_of(values[0])


class MappedColumns:
    """Columns that are a declaration together, as a mapping file tells: the same that CSV and Excel files are read by (docs/formats.md)."""

    def __init__(self, source: ViewSource, reader: Reader) -> None:
        if source.columns is None:
            raise SettingsError("settings-key-missing", "the view has neither document nor columns", field=f"views.{source.name}.columns")
        self._mapping = load_columns(source.columns)
        self._conventions = reader.conventions
        if self._mapping.rows.one_is != "declaration":
            text = 'a row of a view is a declaration: one whose rows are items gives a document, or a view with rows.one_is = "declaration"'
            raise SettingsError("columns-value", text, field=str(source.columns), value=self._mapping.rows.one_is)
        named = (*self._mapping.needed, *self._mapping.columns, *self._mapping.kept)
        self.columns = tuple(dict.fromkeys(named))

    def parts(self, values: Sequence[Any]) -> list[Part]:
        """Make the one declaration of the row."""
        try:
            row = dict(zip(self.columns, map(_cell, values), strict=True))
            return [as_settings_say(part, self._conventions) for part in rows_to_parts([row], self._mapping, self._conventions)]
        except ContentError as error:
            return [Unread.of(error.problems)]

    def raw(self, values: Sequence[Any]) -> bytes:
        """The cells, as JSON."""
        return json.dumps(dict(zip(self.columns, values, strict=True)), ensure_ascii=False, indent=2, default=str).encode(
            "utf-8", "replace"
        )


def _cell(value: Any) -> Any:
    return value.read() if hasattr(value, "read") else value  # Oracle's LOBs


def bytes_of(value: Any) -> bytes:
    """The document in a column: text (CLOB, XML), bytes (BLOB, bytea) or JSON; empty where it is NULL."""
    value = _cell(value)
    if value is None:
        return b""
    if isinstance(value, str):
        return _ENCODING.sub(r"\1", value, count=1).encode("utf-8", "replace")  # it is text already, whatever it said to be encoded in
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    raise SettingsError("view-document", "the document's column holds text, bytes or JSON", value=type(value).__name__)
