"""What the house's closings contribute to `panj status`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from broker.operations.contributions import Attention, Reading
from consumers.closing_tables import closing, closing_difference
from schemas.names import Party

LATE_PERIODS = 3  # so many periods without a closing need a look


def observe_closings(connection: Connection, every_seconds: int, now_utc: datetime) -> Iterator[Reading]:
    """How long ago each post closed its account, where a chain has a gap, and where accounts differ."""
    newest = select(closing.c.source, func.max(closing.c.number).label("number")).where(closing.c.agreed).group_by(closing.c.source)
    last = newest.subquery()
    joined = (closing.c.source == last.c.source) & (closing.c.number == last.c.number)
    query = select(closing.c.source, closing.c.number, closing.c.answered_at_utc, closing.c.follows).join(last, joined)
    for source, number, at_utc, follows in connection.execute(query.order_by(closing.c.source)):
        subject, age = f"{Party.of_urn(source).unit} → us", now_utc - at_utc
        late = age > timedelta(seconds=LATE_PERIODS * every_seconds)
        advice = 'it closes no more: is its daemon running, and the line up? "panj reconcile --house" asks for a closing' if late else ""
        attention = Attention.WATCH if late else Attention.FINE
        yield Reading(subject, f"last agreed closing, number {number}", round(age.total_seconds(), 1), "s ago", attention, advice)
        if not follows:
            advice = 'a backup set the chain of one side back: "panj closings verify" here and there tells which closings are missing'
            yield Reading(subject, "closing's chain", "gap", attention=Attention.WATCH, advice=advice)
    stands = closing_difference.c.ended_at_utc.is_(None)
    counted = select(closing_difference.c.source, closing_difference.c.what, func.count(), func.sum(closing_difference.c.lacking))
    by_kind = counted.where(stands).group_by(closing_difference.c.source, closing_difference.c.what)
    for source, what, blocks, lacking in connection.execute(by_kind.order_by(closing_difference.c.source, closing_difference.c.what)):
        advice = "the post sends them again by itself; where it cannot, its side names them: see there"
        if what != "missing":
            advice = "the same place holds another event on each side: the post's side names both ids (panj reconcile), find out why"
        value, unit = (int(lacking), "events") if what == "missing" else (int(blocks), "blocks")
        attention = Attention.WATCH if what == "missing" else Attention.ACT
        yield Reading(f"{Party.of_urn(source).unit} → us", f"closing differs: {what}", value, unit, attention, advice)
