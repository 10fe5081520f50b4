"""What posts add to `panj status`: a lost outbox, files that wait in a watched directory, files that were rejected. Reads only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from broker.operations.contributions import Attention, Reading, database_exists
from broker.outbox.store import Outbox, now_utc
from broker.settings.model import Settings
from producers.fates.standing import of_fates
from producers.marker import Marker
from producers.sources.files import found_files
from producers.sources.shelves import REASON, REJECTED
from producers.sources.view.standing import of_views

WAITING_SECONDS = 300.0  # a file that lies there longer is not being taken


def observe(settings: Settings) -> Iterator[Reading]:
    """Look at the directories of this administration's posts that are on this machine; the others are another machine's to tell."""
    for name in sorted(settings.posts):
        yield from observe_directory(settings, name)


def observe_directory(settings: Settings, name: str) -> Iterator[Reading]:
    """Look at what lies on this machine of one post: its directory, and what is left of an outbox that is gone."""
    unit, watched = settings.post_party(name).unit, settings.posts[name].watch
    marker = Marker.of(settings.posts[name].outbox)
    if marker is not None and marker.lost:
        advice = f'put {marker.outbox} back from where it went, or run "panj post recover --post {name}" where it is gone for good'
        yield Reading(unit, "outbox", "lost", attention=Attention.ACT, advice=advice)
    if database_exists(settings.posts[name].outbox):
        yield from _told_in_outbox(settings, name)
    if watched.is_dir():
        yield from _waiting(unit, watched)
        yield from _rejected(unit, watched / REJECTED)


def _told_in_outbox(settings: Settings, name: str) -> Iterator[Reading]:
    post, party = settings.posts[name], settings.post_party(name)
    if post.fates is None and not post.views:
        return
    outbox = Outbox.open(post.outbox, party, settings.environment)
    try:
        state, cursors = outbox.tellings.state(), outbox.cursors.all()
    finally:
        outbox.close()
    if post.fates is not None:
        yield from of_fates(party, state, now_utc())
    yield from of_views(party, post.views, cursors, now_utc())


def _waiting(unit: str, watched: Path) -> Iterator[Reading]:
    try:
        arrivals = [found.mark.modified_ns for found in found_files(watched)]
    except OSError as error:
        advice = f"make {watched} readable for this user, or mount the share"
        yield Reading(unit, "files waiting", f"unreadable: {error.strerror}", attention=Attention.WATCH, advice=advice)
        return
    oldest_seconds = max(0.0, time.time() - min(arrivals) / 1e9) if arrivals else 0.0
    late = oldest_seconds > WAITING_SECONDS
    advice = "is the post running? its log says `file.left` or `intake.paused` with the reason" if late else ""
    yield Reading(unit, "files waiting", len(arrivals), "files", Attention.WATCH if late else Attention.FINE, advice)


def _rejected(unit: str, shelf: Path) -> Iterator[Reading]:
    try:
        count = sum(name.endswith(REASON) for name in os.listdir(shelf))
    except OSError:
        return  # nothing was rejected yet, or another user's directory
    advice = f"read the reasons in {shelf}, mend and put in again, then remove them there" if count else ""
    yield Reading(unit, "files rejected", count, "files", Attention.WATCH if count else Attention.FINE, advice)
