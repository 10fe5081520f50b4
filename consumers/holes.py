"""What a house holds of each stream, and the holes in them, for `panj status`: numbers that have not come though later ones have.

Nothing is counted twice: up to where a closing agreed, both sides have signed that nothing is missing, and only what came since is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, and_, case, func, select

from broker.operations.contributions import Attention, Reading
from consumers.closing_tables import closing_stream
from consumers.tables import inbox, stream

STREAMS_SHOWN = 40  # a post begins a stream for each type and each life of its outbox; one that is up to no good, for each event

_ADVICE = "events of this stream have not come yet: they are sent again by themselves"


@dataclass(frozen=True, slots=True)
class StreamStock:
    """What the inbox holds of a stream: up to `pruned_to` it is in the archive only, up to `whole_to` nothing is missing, and of the
    numbers above that, up to `last`, so many are there.
    """

    source: str
    type: str
    epoch: str
    pruned_to: int
    whole_to: int
    last: int
    above: int

    @property
    def kept(self) -> int:
        """How many events the inbox holds."""
        return self.whole_to - self.pruned_to + self.above

    @property
    def holes(self) -> int:
        """How many numbers have not come, though later ones have."""
        return self.last - self.whole_to - self.above


def take_stock(connection: Connection) -> list[StreamStock]:
    """What the inbox holds of each stream. Costs what came since each stream's last closing, however many years are kept."""
    return [
        StreamStock(row.source, row.type, row.epoch, row.pruned_to, row.whole_to, max(row.whole_to, row.last or 0), row.above)
        for row in connection.execute(stock())
    ]


def stock() -> Select[tuple[object, ...]]:
    """The question of `take_stock`; tests look at its plan."""
    # What is agreed stays agreed: pruning leaves marks of its own, and a backup sets inbox and closings back together.
    here = (closing_stream.c.source == stream.c.source, closing_stream.c.type == stream.c.type, closing_stream.c.epoch == stream.c.epoch)
    newest = select(closing_stream.c.last).where(*here).order_by(closing_stream.c.number.desc()).limit(1)
    agreed = func.coalesce(newest.scalar_subquery(), 0).label("agreed")
    known = select(stream.c.source, stream.c.type, stream.c.epoch, stream.c.pruned_to, agreed).subquery()
    mark = case((known.c.agreed > known.c.pruned_to, known.c.agreed), else_=known.c.pruned_to).label("whole_to")
    # Materialised, or PostgreSQL would look for the closing again with each row that came since.
    marks = select(known.c.source, known.c.type, known.c.epoch, known.c.pruned_to, mark).cte("marks").prefix_with("MATERIALIZED")
    name = (marks.c.source, marks.c.type, marks.c.epoch, marks.c.pruned_to, marks.c.whole_to)
    came = and_(
        inbox.c.epoch == marks.c.epoch,
        inbox.c.source == marks.c.source,
        inbox.c.type == marks.c.type,
        inbox.c.sequence > marks.c.whole_to,
    )
    counted = (func.max(inbox.c.sequence).label("last"), func.count(inbox.c.sequence).label("above"))
    return select(*name, *counted).select_from(marks.outerjoin(inbox, came)).group_by(*name)


def observe_holes(stocks: Sequence[StreamStock], subject: str) -> Iterator[Reading]:
    """Each stream with its holes, those with most first; beyond `STREAMS_SHOWN`, how many more there are and what they lack together."""
    found = sorted(stocks, key=lambda each: (-each.holes, each.source, each.type, each.epoch))
    for each in found[:STREAMS_SHOWN]:
        attention, advice = (Attention.WATCH, _ADVICE) if each.holes else (Attention.FINE, "")
        yield Reading(f"{each.source} {each.type} {each.epoch}", "holes", each.holes, "events", attention, advice)
    rest = found[STREAMS_SHOWN:]
    if rest:
        holes = sum(each.holes for each in rest)
        advice = f"{len(rest):,} more streams: a sender that begins so many lives is worth a question"
        yield Reading(subject, "holes in further streams", holes, "events", Attention.WATCH, advice)
