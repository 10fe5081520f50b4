"""A document in memory, from HTTP or from a database's column, read by the format that it is in."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import structlog

from producers.formats.reading import Part, Unread
from producers.formats.registry import Reader
from schemas.errors import ContentError

log = structlog.get_logger()


def read_document(raw: bytes, reader: Reader, *, source: str) -> Iterator[Part]:
    """Give what a document holds, part by part; where it is empty or its format fails over it, that comes as one `Unread`.

    ContentError `format-unknown`, at the first part, where it is in no format of the reader's. `source` names, for the log, where it came
    from.
    """
    try:
        yield from reader.read(BytesIO(raw)).parts
    except ContentError as error:
        if error.code == "format-unknown":
            raise
        yield Unread.of(error.problems)
    except Exception as error:  # a format is a plug-in: its surprise over one document may not stop those behind it
        log.exception("document.surprised", source=source)
        yield Unread.of(ContentError("format-failed", f"the format failed over this document: {type(error).__name__}").problems)
