"""What `panj status` says of the views that a post reads. Reads only its outbox."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from broker.operations.contributions import Attention, Reading
from broker.outbox.cursors import Cursor
from broker.settings.sources import ViewSource
from schemas.names import Party

LATE = timedelta(minutes=5)
OPEN_LONG = timedelta(minutes=10)


def of_views(party: Party, sources: Sequence[ViewSource], cursors: Sequence[Cursor], now: datetime) -> Iterator[Reading]:
    """How each view stands: when it was read last, and what keeps it."""
    known = {cursor.name: cursor for cursor in cursors}
    for source in sources:
        cursor = known.get(source.name, Cursor(source.name))
        subject = f"{party.unit}, view {source.name}"
        age = None if cursor.read_at_utc is None else now - cursor.read_at_utc
        late = age is None or age > max(LATE, timedelta(seconds=source.poll_seconds * 3))
        attention = Attention.ACT if cursor.trouble else Attention.WATCH if late else Attention.FINE
        advice = cursor.trouble or ("is the post running?" if late else "")
        yield Reading(subject, "last read", None if age is None else age.total_seconds(), "s ago", attention, advice)
        yield Reading(subject, "rows read", cursor.rows, "rows")
        if cursor.rejected:
            yield Reading(subject, "rows rejected", cursor.rejected, "rows", advice="their documents and reasons lie in rejected/")
        if cursor.waiting_since_utc is not None:
            open_for = now - cursor.waiting_since_utc
            long = open_for > OPEN_LONG
            advice = (
                "a transaction in the national database has not ended: rows after it wait (pg_stat_activity, xact_start)" if long else ""
            )
            attention = Attention.WATCH if long else Attention.FINE
            yield Reading(subject, "rows wait for an open transaction", open_for.total_seconds(), "s", attention, advice)
