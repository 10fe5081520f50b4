"""Holes in the streams that a house takes in, for `panj status`: numbers that have not come though later ones have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from broker.operations.contributions import Attention, Reading
from consumers.tables import inbox, stream

STREAMS_SHOWN = 40  # a post begins a stream for each type and each life of its outbox; one that is up to no good, for each event

_ADVICE = "events of this stream have not come yet: they are sent again by themselves"


@dataclass(frozen=True, slots=True)
class _Stream:
    source: str
    type: str
    epoch: str
    holes: int


def observe_holes(connection: Connection, subject: str) -> Iterator[Reading]:
    """Each stream with its holes, those with most first; beyond `STREAMS_SHOWN`, how many more there are and what they lack together."""
    found = sorted(_streams(connection), key=lambda each: (-each.holes, each.source, each.type, each.epoch))
    for each in found[:STREAMS_SHOWN]:
        attention, advice = (Attention.WATCH, _ADVICE) if each.holes else (Attention.FINE, "")
        yield Reading(f"{each.source} {each.type} {each.epoch}", "holes", each.holes, "events", attention, advice)
    rest = found[STREAMS_SHOWN:]
    if rest:
        holes = sum(each.holes for each in rest)
        advice = f"{len(rest):,} more streams: a sender that begins so many lives is worth a question"
        yield Reading(subject, "holes in further streams", holes, "events", Attention.WATCH, advice)


def _streams(connection: Connection) -> Iterator[_Stream]:
    """What has been pruned had come: only what lies above a stream's mark can be missing."""
    marks = {
        (row.source, row.type, row.epoch): int(row.pruned_to)
        for row in connection.execute(
            select(stream.c.source, stream.c.type, stream.c.epoch, stream.c.pruned_to).where(stream.c.pruned_to > 0)
        )
    }
    name = (inbox.c.source, inbox.c.type, inbox.c.epoch)
    for source, event_type, epoch, last, count in connection.execute(
        select(*name, func.max(inbox.c.sequence), func.count()).group_by(*name)
    ):
        above = int(last) - marks.get((source, event_type, epoch), 0)
        yield _Stream(source, event_type, epoch, max(0, above - int(count)))
