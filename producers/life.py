"""Opening a post's outbox, and telling when it is not the one that was there: neither a lost nor an older one is gone on with in silence.

By what that is found out stands in `marker`, what a life is in `broker.outbox`, how one recovers in `recovery`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import structlog

from broker.outbox.copy_files import copy_directory
from broker.outbox.lives import refuse_unfit
from broker.outbox.room import Room
from broker.outbox.second_copy import CopyPlace
from broker.outbox.store import Outbox, now_utc
from broker.settings.model import Settings
from broker.trust.sealing import recipients_of
from producers.marker import Marker
from schemas.errors import SettingsError, UsageError

log = structlog.get_logger()


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


def open_outbox(settings: Settings, name: str, *, even_where_lost: bool = False, keeps_copy: bool = False) -> Outbox:
    """Open the outbox of a post, making it where there never was one; SettingsError `outbox-lost` where there was another.

    One that was set back to an older state is opened, and accepts nothing (`outbox-restored`). `even_where_lost`: make a new one then;
    it accepts nothing either, until it has recovered. The one process that runs the post `keeps_copy`.
    """
    marker = Marker.of(settings.posts[name].outbox)
    if marker is not None and marker.lost and not even_where_lost:
        raise _lost(marker)
    recipients = recipients_of(settings, now_utc())
    post, party = settings.posts[name], settings.post_party(name)
    room = Room(settings.relay.outbox_min_free_mb * 1024 * 1024, settings.relay.outbox_max_unsettled)
    outbox = Outbox.open(post.outbox, party, settings.environment, recipients=recipients, room=room)
    if marker is not None:
        _compare(outbox, marker)
    if post.second_copy is not None:
        apart_from = post.watch if marker is None else marker.outbox.parent
        outbox.copy_to(CopyPlace(copy_directory(post.second_copy, party.unit), apart_from), keeps=keeps_copy)
    return outbox


def _compare(outbox: Outbox, marker: Marker) -> None:
    """See whether the file is the one that was marked."""
    begun = marker.begun()
    epoch, accepted = outbox.accepted()
    if begun is not None and begun not in outbox.epochs():
        outbox.suspect(f"another life, {begun}, was begun here after its own, {epoch}")
    elif begun != epoch:
        marker.begin(epoch)
    elif (reached := marker.reached(epoch)) > accepted:
        outbox.suspect(f"it holds {accepted} accepted events of its life, and {reached} had been accepted")


def mark(settings: Settings, name: str, outbox: Outbox) -> None:
    """Note how far the outbox has come; never while it is known to have been set back."""
    marker, state = Marker.of(settings.posts[name].outbox), outbox.recovery()
    if marker is None or state.life.suspected_because is not None:
        return
    epoch, accepted = outbox.accepted()
    if marker.begun() == epoch:
        marker.reach(epoch, accepted)


def keep_marked(settings: Settings, name: str, outbox: Outbox, stop: Callable[[], None]) -> Callable[[], None]:
    """Give what a daemon does each second: note how far the outbox has come, and stop where its file was replaced under way."""
    marker = Marker.of(settings.posts[name].outbox)
    file = None if marker is None else os.stat(marker.outbox)
    noted: tuple[str, int] | None = None

    def keep() -> None:
        nonlocal noted
        if marker is None or file is None:
            return
        try:
            now = os.stat(marker.outbox)
            same = (now.st_ino, now.st_dev) == (file.st_ino, file.st_dev)
        except FileNotFoundError:
            same = False
        if not same:
            advice = "start the post again: it sees then what it has to do with"
            log.error("outbox.replaced", file=str(marker.outbox), advice=advice)
            stop()
        elif (reached := outbox.accepted()) != noted:
            mark(settings, name, outbox)
            noted = reached

    return keep


def examine_outbox(settings: Settings, name: str) -> str:
    """Tell in words how the outbox stands, without making one; SettingsError or UnavailableError where it cannot be used."""
    marker = Marker.of(settings.posts[name].outbox)
    if marker is not None and marker.begun() is None and not marker.outbox.exists():
        return f"{marker.outbox} is made at the first start"
    outbox = open_outbox(settings, name)
    try:
        refuse_unfit(outbox.recovery().life)
        waiting = sum(depth.waiting for depth in outbox.counts())
        return f"epoch {outbox.epoch}, {waiting} waiting to be relayed"
    finally:
        outbox.close()


def _lost(marker: Marker) -> SettingsError:
    text = (
        "its file is gone. What it had accepted and not settled is lost unless you restore it: put the file back from where it went, or "
        'rebuild it from the second copy with "panj post restore". Only where it is gone for good, "panj post recover" begins a new one, '
        "which learns from the houses what they hold; then put in again what taken/ holds"
    )
    return SettingsError("outbox-lost", text, field=str(marker.outbox))
