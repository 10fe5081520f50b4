"""What stands between sources and formats. A format is a plug-in: its surprise over one document may not stop those behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import structlog

from producers.formats.reading import Part, Unread
from schemas.errors import ContentError

log = structlog.get_logger()


def guarded(read: Callable[[], Iterable[Part]], *, source: str, document: str | None = None, raised: str | None = None) -> Iterator[Part]:
    """Give what `read` gives, part by part; where it refuses the document or its format fails over it, that comes as one `Unread`.

    An OSError passes: it tells of the stream or of this machine, and nothing of the document; so does a ContentError with the code
    `raised`. `source` and `document` name, for the log, where it came from.
    """
    try:
        yield from read()
    except ContentError as error:
        if error.code == raised:
            raise
        yield Unread.of(error.problems)
    except OSError:
        raise
    except Exception as error:
        log.exception("document.surprised", source=source, document=document)
        yield Unread.of(ContentError("format-failed", f"the format failed over this document: {type(error).__name__}").problems)
