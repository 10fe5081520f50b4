"""The streams that this house has seen: one row per post, type and epoch, written with the first event of each and never removed, so that
what is known of a post is found without going through its events.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from consumers.database import insert_missing
from consumers.tables import stream

Stream = tuple[str, str, str]  # source, type, epoch


_PRUNED = select(stream.c.source, stream.c.type, stream.c.epoch, stream.c.pruned_to).where(
    stream.c.epoch.in_(bindparam("epochs", expanding=True)), stream.c.pruned_to > 0
)


def note(connection: Connection, streams: Iterable[Stream], now_utc: datetime) -> None:
    """Write down those that are not known yet."""
    rows = [{"source": source, "type": kind, "epoch": epoch, "first_seen_utc": now_utc} for source, kind, epoch in sorted(streams)]
    insert_missing(connection, stream, rows)


def watermarks(connection: Connection, epochs: Iterable[str]) -> dict[Stream, int]:
    """Up to where the streams of these epochs are in the archive only; those of which nothing is, are left out."""
    rows = connection.execute(_PRUNED, {"epochs": sorted(epochs)})
    return {(row.source, row.type, row.epoch): row.pruned_to for row in rows}


def streams_of(connection: Connection, source: str) -> list[tuple[str, str]]:
    """Type and epoch of each stream of a post (URN), in the order in which its epochs were first seen."""
    query = select(stream.c.epoch, stream.c.type, stream.c.first_seen_utc).where(stream.c.source == source)
    rows = connection.execute(query).all()
    first_seen: dict[str, datetime] = {}
    for row in rows:
        first_seen[row.epoch] = min(row.first_seen_utc, first_seen.get(row.epoch, row.first_seen_utc))
    return [(row.type, row.epoch) for row in sorted(rows, key=lambda row: (first_seen[row.epoch], row.epoch, row.type))]


def epochs_of(connection: Connection, source: str, limit: int) -> list[str]:
    """The epochs of a post (URN), the latest first."""
    first_seen = func.min(stream.c.first_seen_utc)
    query = select(stream.c.epoch).where(stream.c.source == source).group_by(stream.c.epoch)
    return list(connection.execute(query.order_by(first_seen.desc(), stream.c.epoch).limit(limit)).scalars())
