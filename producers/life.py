"""Opening a post's outbox, and telling when it is not the one that was there: a lost outbox is never begun anew in silence.

Beside an SQLite outbox lies a marker, `<file>.begun`, with the epoch of its life. What a life is stands in `broker.outbox`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url

from broker.outbox.room import Room
from broker.outbox.store import Outbox, now_utc
from broker.settings.model import Settings
from broker.trust.keys import write_atomically
from broker.trust.sealing import recipients_of
from schemas.errors import SettingsError, UsageError

MARKER = ".begun"


def post_named(settings: Settings, name: str | None) -> str:
    """Find the post that is meant: the named one, or the only one. UsageError `post-unknown` otherwise."""
    known = ", ".join(sorted(settings.posts)) or "none"
    if name is not None and name in settings.posts:
        return name
    if name is not None:
        raise UsageError("post-unknown", f"exchange.toml has no such post; it has: {known}", field="--post", value=name)
    if len(settings.posts) != 1:
        raise UsageError("post-unknown", f"say which post is meant with --post or PANJ_POST; exchange.toml has: {known}", field="--post")
    return next(iter(settings.posts))


def open_outbox(settings: Settings, name: str) -> Outbox:
    """Open the outbox of a post, making it where there never was one; SettingsError `outbox-lost` where there was another."""
    url = settings.posts[name].outbox
    marker = _marker_of(url)
    begun = _begun(marker)
    recipients = recipients_of(settings, now_utc())
    room = Room(settings.relay.outbox_min_free_mb * 1024 * 1024, settings.relay.outbox_max_unsettled)
    outbox = Outbox.open(url, settings.post_party(name), settings.environment, recipients=recipients, room=room)
    if marker is None:
        return outbox
    if begun is not None and begun not in outbox.epochs():
        epoch = outbox.epoch
        outbox.close()
        raise _lost(marker, f"the file holds another life ({epoch}) than the one that was begun ({begun})")
    if begun != outbox.epoch:
        write_atomically(marker, f"{outbox.epoch}\n".encode())
    return outbox


def examine_outbox(settings: Settings, name: str) -> str:
    """Tell in words how the outbox stands, without making one; SettingsError or UnavailableError where it cannot be used."""
    url = settings.posts[name].outbox
    marker = _marker_of(url)
    if marker is not None and _begun(marker) is None and not _file_of(marker).exists():
        return f"{_file_of(marker)} is made at the first start"
    outbox = open_outbox(settings, name)
    try:
        waiting = sum(depth.waiting for depth in outbox.counts())
        return f"epoch {outbox.epoch}, {waiting} waiting to be relayed"
    finally:
        outbox.close()


def _marker_of(url: str) -> Path | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database + MARKER)


def _file_of(marker: Path) -> Path:
    return marker.with_name(marker.name.removesuffix(MARKER))


def _begun(marker: Path | None) -> str | None:
    """The epoch of the life that was begun here; SettingsError where one was and the outbox's file is not there."""
    if marker is None or not marker.exists():
        return None
    if not _file_of(marker).exists():
        raise _lost(marker, "its file is gone")
    return marker.read_text("ascii", errors="replace").strip()[:64]


def _lost(marker: Path, what: str) -> SettingsError:
    text = (
        f"{what}. What it had accepted and not settled is lost unless you restore it: put the file back from where it went. "
        f"Only where it is gone for good, remove {marker.name}, and the post begins a new life; then put in again what taken/ holds"
    )
    return SettingsError("outbox-lost", text, field=str(_file_of(marker)))
