"""Canonical JSON: `{"type": "customs.export-declaration.v1", "declaration": {…}}`, one object a file or one object a line.

docs/canonical-json.md describes it for those who write such files. Whether the content of a declaration is right is not asked here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any, BinaryIO

from producers.formats.reading import Conventions, Described, Part, Place, ReadDeclaration, Reading, Unread
from schemas.errors import ContentError
from schemas.names import STREAM_TYPES, EventType
from schemas.strict_json import parse

OBJECT_BYTES = 4 * 1024 * 1024  # one object with its indentation; the event made of it stays under 1 MiB (schemas.limits)
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"


class CanonicalJson:
    """The exchange's own format."""

    name = "canonical-json"
    ending = ".json"
    title = "canonical JSON: one object a file, or one a line"

    def recognises(self, head: bytes) -> bool:
        """Whether it begins like JSON. A UTF-8 byte order mark is let pass: Windows programs write one without being asked."""
        return head.removeprefix(_BOM).lstrip(_BLANK)[:1] in (b"{", b"[")

    def read(self, stream: BinaryIO, conventions: Conventions) -> Reading:
        """Read one object, however it is laid out, or one object a line where the first line and the next one say so."""
        lines = _Lines(stream)
        first, number = lines.next_filled(), lines.number
        second = lines.next_filled() if len(first) <= OBJECT_BYTES else b""
        # Within one JSON value no line that ends in } is followed by a line that begins with {: a comma must stand between them.
        if first.rstrip(_BLANK).endswith(b"}") and second.lstrip(_BLANK).startswith(b"{"):
            return Reading(_lines(first, number, second, lines), tells_its_end=False)
        return Reading(iter((_whole(first + second, stream),)), tells_its_end=True)

    def write(self, event_type: str, data: dict[str, Any], conventions: Conventions) -> bytes:
        """One object, indented."""
        return json.dumps({"type": event_type, "declaration": data}, ensure_ascii=False, indent=2).encode() + b"\n"

    def describe(self) -> tuple[Described, ...]:
        """Every field under its own name."""
        return (Described("declaration.<field>", "<field>", "as in the data model", "the model's own (docs/data-model.md)"),)


class _Lines:
    """Lines of a stream that hold something, counted; none is longer than `OBJECT_BYTES` and a byte."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.number = 0

    def next_filled(self) -> bytes:
        """Read up to the next line that is not blank and give it; nothing at the end."""
        while line := self._stream.readline(OBJECT_BYTES + 1):
            if self.number == 0:
                line = line.removeprefix(_BOM)
            self.number += 1
            if line.strip(_BLANK):
                return line
        return b""

    def skip_rest(self, line: bytes) -> None:
        """Read on to the end of a line of which only the beginning was read."""
        while line and not line.endswith(b"\n"):
            line = self._stream.readline(OBJECT_BYTES)


def _whole(begun: bytes, stream: BinaryIO) -> Part:
    raw = begun + stream.read(max(0, OBJECT_BYTES + 1 - len(begun)))
    return _object(raw, None)


def _lines(first: bytes, number: int, second: bytes, lines: _Lines) -> Iterator[Part]:
    yield _object(first, number)
    line = second
    while line:
        yield _object(line, lines.number)
        if len(line) > OBJECT_BYTES:
            lines.skip_rest(line)
        line = lines.next_filled()


def _object(raw: bytes, line: int | None) -> Part:
    if len(raw) > OBJECT_BYTES:
        return _unread("object-too-large", f"one declaration is at most {OBJECT_BYTES:,} bytes of JSON", line)
    try:
        return _declaration(parse(raw.rstrip(_BLANK)), line)
    except ContentError as error:
        within = error.__context__  # where the text stops being JSON, the reader beneath knows the line
        return Unread.of(error.problems, (line or 1) + within.lineno - 1 if isinstance(within, JSONDecodeError) else line)


def _declaration(said: dict[str, Any], line: int | None) -> Part:
    for name in ("type", "declaration"):
        if name not in said:
            return _unread("field-missing", 'a canonical object is {"type": "customs.….v1", "declaration": {…}}', line, field=name)
    if unknown := sorted(said.keys() - {"type", "declaration"}):
        return _unread("field-unknown", "a canonical object holds type and declaration, nothing else", line, field=unknown[0][:200])
    event_type, data = said["type"], said["declaration"]
    if not isinstance(event_type, str) or event_type not in STREAM_TYPES:
        known = ", ".join(sorted(EventType(known) for known in STREAM_TYPES))
        return _unread("type-unknown", f"a post sends these types: {known}", line, field="type", value=event_type)
    if not isinstance(data, dict):
        return _unread("field-invalid", "the declaration is a JSON object", line, field="declaration", value=data)
    return ReadDeclaration(event_type, data, line, lambda name: Place(f"declaration.{name}", line))


def _unread(code: str, text: str, line: int | None, *, field: str | None = None, value: object = None) -> Unread:
    return Unread.of(ContentError(code, text, field=field, value=value).problems, line, field)


FORMAT = CanonicalJson()
