"""Which formats there are (entry points of the group "panj.formats", so that a package can add one), and which of them a file is in."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import BinaryIO
from zoneinfo import ZoneInfo

from broker.settings.model import ReadingSettings
from producers.formats.columns_files import load_columns
from producers.formats.reading import HEAD_BYTES, Conventions, Format, Part, Reading, TableFormat, as_settings_say
from schemas.errors import ContentError, SettingsError


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the files of one source: by the formats there are, or the one that is forced, under the source's conventions."""

    formats: Sequence[Format]
    conventions: Conventions = field(default_factory=Conventions)
    forced: Format | None = None

    def format_of(self, head: bytes) -> Format:
        """Find the format of a file by its first bytes; ContentError `file-empty` or `format-unknown` where it is none of ours."""
        if not head.strip():
            raise ContentError("file-empty", "the file is empty")
        if self.forced is not None:
            return self.forced
        try:
            return format_of(head, self.formats)
        except ContentError:
            if self.conventions.columns is None:
                raise
            for table in self.formats:  # such as a CSV file that begins with another thing than its header: refused for what it is
                if isinstance(table, TableFormat) and table.may_be(head):
                    return table
            raise

    def read(self, stream: BinaryIO) -> Reading:
        """Read a file from its beginning; raises as `format_of`, and the stream's own OSError."""
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
        reading = self.format_of(head).read(stream, self.conventions)
        return Reading(_undisturbed(reading.parts, self.conventions), reading.tells_its_end)


_one_at_a_time = threading.Lock()


def _undisturbed(parts: Iterator[Part], conventions: Conventions) -> Iterator[Part]:
    """Read each part without Python's collector in between: it would look through a document's objects again and again, all of them alive.

    Between two parts it works as always. Of threads that read at once one does so: the collector is never off for longer than one part.
    """
    while True:
        ours = _one_at_a_time.acquire(blocking=False)
        was_on = ours and gc.isenabled()
        if was_on:
            gc.disable()
        try:
            part = next(parts, None)
        finally:
            if was_on:
                gc.enable()
            if ours:
                _one_at_a_time.release()
        if part is None:
            return
        yield as_settings_say(part, conventions)


def reader_of(reading: ReadingSettings, *, administration: str | None, time_zone: str | None) -> Reader:
    """Make the reader of a source from its settings, which go before the administration's own.

    SettingsError `format-missing`, and as `load_columns` where the source has a mapping file.
    """
    formats = load_formats()
    zone = reading.time_zone or time_zone
    conventions = Conventions(
        administration=administration,
        office=reading.office,
        date_order=reading.date_order,
        time_zone=ZoneInfo(zone) if zone else None,
        codes={str(name): table for name, table in reading.codes.items()},
        columns=load_columns(reading.columns) if reading.columns else None,
        tajik_lookalikes=reading.tajik_lookalikes,
        versions=reading.versions,
        correction_reason=reading.correction_reason,
    )
    return Reader(formats, conventions, format_named(reading.format, formats) if reading.format else None)


def load_formats() -> tuple[Format, ...]:
    """Give all formats that installed packages offer, by name; SettingsError `formats-none` where there is not one."""
    found = tuple(point.load() for point in sorted(entry_points(group="panj.formats"), key=lambda point: point.name))
    if not found:
        raise SettingsError(
            "formats-none", 'no file format is installed: install panj itself ("pip install panj"), which brings canonical-json'
        )
    return found


def format_named(name: str, formats: Sequence[Format]) -> Format:
    """Give the format of this name; SettingsError `format-missing` where there is none."""
    for candidate in formats:
        if candidate.name == name:
            return candidate
    names = ", ".join(candidate.name for candidate in formats)
    raise SettingsError("format-missing", f"no such format is installed; there are: {names}", field="format", value=name)


def format_of(head: bytes, formats: Sequence[Format]) -> Format:
    """Find the format of a file by its first bytes; ContentError `format-unknown` where it is none of ours."""
    for candidate in formats:
        if candidate.recognises(head):
            return candidate
    names = ", ".join(candidate.name for candidate in formats)
    raise ContentError(
        "format-unknown", f"the file is in none of the formats that are taken here: {names}", value=head[:40].decode("ascii", "replace")
    )
