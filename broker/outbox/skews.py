"""How the houses' clocks stand against ours, as beacons and receipts tell it; kept with each destination's beacon. What is made of
measurements stands in `broker.clocks`. Called within the store's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from broker.clocks import Skew, better, measure
from broker.outbox.tables import beacon, outbox
from broker.outbox.values import BeaconReturned, ReceivedReceipt, Settlement

OFTEN = timedelta(seconds=10)  # between two measurements by receipts: each batch could give one
CONFIRMED_LATE = timedelta(seconds=2)  # an event may have been taken over there before its confirm was noted here


def by_beacon(row: Any, home: BeaconReturned) -> Skew | None:
    """What a beacon tells that came home, where `row` still knows when it left: it is the newest one."""
    if home.mark != row.sent_mark or home.house_at_utc is None:
        return None
    return measure(row.sent_at_utc, home.house_at_utc, home.returned_at_utc)


def record_by_receipts(
    connection: Connection, receipts: Sequence[ReceivedReceipt], settlements: Sequence[Settlement], now: datetime
) -> dict[str, Skew]:
    """Measure by the newest receipt of each house, at most every `OFTEN`; give what was measured, by destination.

    Two small queries in a batch that measures, one in another.
    """
    newest = {one.house: one for one in receipts}
    if not newest:
        return {}
    states = {row.destination: row for row in connection.execute(select(beacon).where(beacon.c.destination.in_(newest)))}
    due = {house for house, row in states.items() if row.skew_at_utc is None or abs(now - row.skew_at_utc) >= OFTEN}
    answered = {one.receipt: one.event_id for one in settlements if one.house in due}  # any of those that a receipt answers will do
    found: dict[str, Skew] = {}
    for house in due:
        receipt = newest[house]
        left = _left_at(connection, answered.get(receipt.digest))
        skew = measure(left, receipt.said_at_utc, now) if left is not None and receipt.said_at_utc is not None else None
        if skew is not None:
            found[house] = record(connection, states[house], skew, now)
    return found


def _left_at(connection: Connection, event_id: str | None) -> datetime | None:
    """An instant before an event left; None for one that left several times: its receipt may answer the first."""
    if event_id is None:
        return None
    columns = (outbox.c.accepted_at_utc, outbox.c.relayed_at_utc, outbox.c.relays)
    row = connection.execute(select(*columns).where(outbox.c.event_id == event_id)).first()
    if row is None or row.relays != 1:
        return None
    earliest: datetime = max(row.accepted_at_utc, row.relayed_at_utc - CONFIRMED_LATE)
    return earliest


def record(connection: Connection, row: Any, found: Skew, now: datetime) -> Skew:
    """Keep a measurement beside a destination's beacon (`row`), where it tells more than the one that is kept; give the one that counts."""
    before = skew_of(row)
    chosen = better(before, row.skew_at_utc, found, now)
    if chosen is found:
        values = {"skew_seconds": found.seconds, "skew_error_seconds": found.error_seconds, "skew_at_utc": now}
        connection.execute(update(beacon).where(beacon.c.destination == row.destination).values(values))
    return chosen


def skew_of(row: Any) -> Skew | None:
    """The measurement that a row of `beacon` keeps."""
    if row.skew_seconds is None:
        return None
    error = row.skew_error_seconds or 0.0
    return Skew(row.skew_seconds - error, row.skew_seconds + error)
