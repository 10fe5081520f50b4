"""A document in memory, from HTTP or from a database's column, read by the format that it is in."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from producers.formats.reading import Part
from producers.formats.registry import Reader
from producers.sources.guard import guarded
from schemas.errors import UnavailableError


def read_document(raw: bytes, reader: Reader, *, source: str) -> Iterator[Part]:
    """Give what a document holds, part by part; where it is empty or its format fails over it, that comes as one `Unread`.

    At the first part ContentError `format-unknown` where it is in no format of the reader's. UnavailableError `format-away` where this
    machine cannot read it now: it may be given again. `source` names, for the log, where it came from.
    """
    try:
        yield from guarded(lambda: reader.read(BytesIO(raw)).parts, source=source, raised="format-unknown")
    except OSError as error:
        raise UnavailableError("format-away", f"this machine cannot read it now: {error.strerror or error}") from error
