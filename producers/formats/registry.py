"""Which formats there are (entry points of the group "panj.formats", so that a package can add one), and which of them a file is in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

from producers.formats.reading import Format
from schemas.errors import ContentError, SettingsError


def load_formats() -> tuple[Format, ...]:
    """Give all formats that installed packages offer, by name; SettingsError `formats-none` where there is not one."""
    found = tuple(point.load() for point in sorted(entry_points(group="panj.formats"), key=lambda point: point.name))
    if not found:
        raise SettingsError(
            "formats-none", 'no file format is installed: install panj itself ("pip install panj"), which brings canonical-json'
        )
    return found


def format_of(head: bytes, formats: Sequence[Format]) -> Format:
    """Find the format of a file by its first bytes; ContentError `file-empty` or `format-unknown` where it is none of ours."""
    if not head.strip():
        raise ContentError("file-empty", "the file is empty")
    for candidate in formats:
        if candidate.recognises(head):
            return candidate
    names = ", ".join(candidate.name for candidate in formats)
    raise ContentError(
        "format-unknown", f"the file is in none of the formats that are taken here: {names}", value=head[:40].decode("ascii", "replace")
    )
