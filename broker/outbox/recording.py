"""Recording what happened since the relay's last turn: bundles confirmed, receipts, beacons. Called within the store's transaction.

A receipt settles only where id, digest and house fit; the first final fate stands.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy import BigInteger, Connection, Update, bindparam, case, func, insert, select, update

from broker.clocks import Skew
from broker.outbox import skews
from broker.outbox.tables import UtcInstant, beacon, outbox, receipt, receipt_counter
from broker.outbox.values import BeaconReturned, BeaconSent, ReceivedReceipt, Recorded, Relayed, Settlement
from broker.statements import in_parts, insert_missing
from broker.trust.sealing import unseal_problems
from schemas.fates import Fate

log = structlog.get_logger()

_TOLD = 5  # events named in one log line
_SMALL = 20  # receipts with fewer answers are written row by row: a statement for each receipt costs as much as so many rows

_Left = tuple[bytes | None, datetime, int]  # the receipt that answers a row (its digest), and when and after which beacon it was relayed


@dataclass(slots=True)
class _Standing:
    """How the row of an answered event stands, while answers are gone through in their order."""

    position: int
    destination: str
    digest: bytes
    fate: str | None
    answered_fate: str | None
    reply_key: bytes | None
    withdrawn: bool
    epoch: str
    sequence: int


_RELAYED = (
    update(outbox)
    .where(outbox.c.position.in_(bindparam("positions", expanding=True)), outbox.c.settled_at_utc.is_(None))
    .values(relayed_at_utc=bindparam("at"), relayed_mark=bindparam("mark"), relays=outbox.c.relays + 1)
)
_EVENTS_RELAYED = _RELAYED.where(outbox.c.withdrawal.is_(None))
_TOMBSTONES_RELAYED = _RELAYED.where(outbox.c.withdrawal.is_not(None))
_STANDINGS = select(
    outbox.c.event_id,
    outbox.c.position,
    outbox.c.destination,
    outbox.c.digest,
    outbox.c.fate,
    outbox.c.answered_fate,
    outbox.c.reply_key,
    outbox.c.withdrawal.is_not(None),
    outbox.c.epoch,
    outbox.c.sequence,
).where(outbox.c.event_id.in_(bindparam("ids", expanding=True)))


def record_relayed(connection: Connection, relayed: Sequence[Relayed]) -> None:
    """Note for each confirmed bundle's rows when and after which beacon they were relayed.

    An event that was withdrawn while its bundle was on its way is not relayed by it: its tombstone has still to leave.
    """
    for bundle in relayed:
        change = _TOMBSTONES_RELAYED if bundle.tombstones else _EVENTS_RELAYED
        for positions in in_parts(bundle.positions):
            connection.execute(change, {"positions": positions, "at": bundle.relayed_at_utc, "mark": bundle.mark})


def record_settlements(
    connection: Connection,
    settlements: Sequence[Settlement],
    receipts: Sequence[ReceivedReceipt],
    confirmed: Sequence[Relayed],
    now: datetime,
) -> Recorded:
    """Settle what fits and keep the receipts that say so; count and tell what does not fit.

    Of rows that were not recorded as relayed, `confirmed` tells when they were.
    """
    left = {position: (one.relayed_at_utc, one.mark) for one in confirmed for position in one.positions} if settlements else {}
    standings = _standings(connection, {settlement.event_id for settlement in settlements})
    final: dict[tuple[Fate, str], list[tuple[int, _Left]]] = defaultdict(list)
    problems_of: dict[tuple[Fate, str], Any] = {}
    settled: dict[str, list[int]] = defaultdict(list)
    held: dict[str, list[int]] = defaultdict(list)
    fates: Counter[Fate] = Counter()
    highest: dict[tuple[str, str], int] = {}
    strays = _Strays()
    for settlement in settlements:
        row = standings.get(settlement.event_id)
        if row is None or row.digest != settlement.digest or row.destination != settlement.house:
            strays.mismatched.append(settlement)
            continue
        if row.fate is not None:
            contradicts = settlement.fate.final and settlement.fate != row.fate
            (strays.contradicted if contradicts else strays.repeated).append(settlement)
            continue
        if not settlement.fate.final and (row.answered_fate is not None or row.withdrawn):
            strays.repeated.append(settlement)  # a withdrawn event is not held any more once its tombstone is there
            continue
        problems = _problems(settlement, row.reply_key)
        key = (settlement.fate, repr(problems))
        problems_of[key] = problems
        final[key].append((row.position, (settlement.receipt, *left.get(row.position, (now, 0)))))
        fates[settlement.fate] += 1
        stream = (row.destination, row.epoch)
        highest[stream] = max(row.sequence, highest.get(stream, 0))
        if settlement.fate.final:
            if row.withdrawn:
                _tell_withdrawn(settlement)
            row.fate = settlement.fate
            settled[row.destination].append(row.position)
        else:
            row.answered_fate = settlement.fate
            held[row.destination].append(row.position)
    for key, answered in final.items():
        _write(connection, key[0], problems_of[key], answered, now)
    used = {digest for answered in final.values() for _, (digest, *_) in answered}
    keep_receipts(connection, [one for one in receipts if one.digest in used], now)
    strays.keep(connection)
    return Recorded(settled, held, fates, len(strays.repeated), len(strays.mismatched), len(strays.contradicted), highest=highest)


def _problems(settlement: Settlement, reply_key: bytes | None) -> list[dict[str, Any]] | None:
    told = settlement.problems if settlement.sealed is None else unseal_problems(settlement.sealed, reply_key)
    return [problem.model_dump(mode="json", exclude_none=True) for problem in told] or None


def _standings(connection: Connection, event_ids: Iterable[str]) -> dict[str, _Standing]:
    found: dict[str, _Standing] = {}
    for ids in in_parts(tuple(event_ids)):
        for event_id, *rest in connection.execute(_STANDINGS, {"ids": ids}):
            found[event_id] = _Standing(*rest)
    return found


def _write(connection: Connection, fate: Fate, problems: Any, answered: Sequence[tuple[int, _Left]], now: datetime) -> None:
    """Give these rows one fate. An event answered before its confirm came was relayed, too: so says its answer."""
    alike: dict[_Left, list[int]] = defaultdict(list)
    for position, left in answered:
        alike[left].append(position)
    told = [
        ({"why": problems, "at": now, "receipt": digest, "left_at": left_at, "mark": mark}, positions)
        for (digest, left_at, mark), positions in alike.items()
    ]
    if len(answered) < _SMALL * len(alike):
        rows = [each | {"here": position} for each, positions in told for position in positions]
        connection.execute(_answering(fate, one_row=True), rows)
        return
    for each, positions in told:
        for part in in_parts(positions):
            connection.execute(_answering(fate, one_row=False), each | {"positions": part})


@lru_cache
def _answering(fate: Fate, *, one_row: bool) -> Update:
    """Give one row (`here`) or several (`positions`) a fate; its other parameters are `receipt`, `why`, `at`, `left_at` and `mark`."""
    values: dict[Any, Any] = {
        "problems": bindparam("why"),
        "relayed_at_utc": func.coalesce(outbox.c.relayed_at_utc, bindparam("left_at", type_=UtcInstant)),
        "relayed_mark": func.coalesce(outbox.c.relayed_mark, bindparam("mark", type_=BigInteger)),
        "relays": case((outbox.c.relays == 0, 1), else_=outbox.c.relays),
        "receipt_digest": bindparam("receipt"),
    }
    values |= {"fate": fate.value, "settled_at_utc": bindparam("at", type_=UtcInstant)} if fate.final else {"answered_fate": fate.value}
    if fate is Fate.LOADED:
        values["withdrawal"] = None  # it came too late: should the house ever ask for the event again, it gets the event
    here = outbox.c.position == bindparam("here") if one_row else outbox.c.position.in_(bindparam("positions", expanding=True))
    return update(outbox).where(outbox.c.settled_at_utc.is_(None), here).values(values)


def keep_receipts(connection: Connection, receipts: Sequence[ReceivedReceipt], now: datetime) -> None:
    """Keep receipts as they came, each once: the house's word for what they settled."""
    if not receipts:
        return
    rows = [{"digest": one.digest, "house": one.house, "received_at_utc": now, "jws": one.jws, "raw": one.raw} for one in receipts]
    connection.execute(insert_missing(receipt, connection.dialect.name), rows)


def _tell_withdrawn(settlement: Settlement) -> None:
    if settlement.fate is Fate.LOADED:
        advice = "it had been loaded before its withdrawal came: correct it by a cancellation, as the next version"
        log.warning("withdrawal.came_late", event_id=settlement.event_id, house=settlement.house, advice=advice)
    else:
        code = settlement.problems[0].code if settlement.problems else None
        log.info("withdrawal.settled", event_id=settlement.event_id, house=settlement.house, code=code)


class _Strays:
    """Answers that settle nothing."""

    def __init__(self) -> None:
        self.mismatched: list[Settlement] = []
        self.contradicted: list[Settlement] = []
        self.repeated: list[Settlement] = []

    def keep(self, connection: Connection) -> None:
        """Count them, and tell of those that nobody should have sent."""
        for what in ("mismatched", "contradicted", "repeated"):
            found: list[Settlement] = getattr(self, what)
            for house, times in Counter(settlement.house for settlement in found).items():
                _count(connection, house, what, times)
        if self.mismatched:
            log.warning("receipt.mismatched", answers=len(self.mismatched), events=[one.event_id for one in self.mismatched[:_TOLD]])
        if self.contradicted:
            log.error(
                "receipt.contradicted",
                answers=len(self.contradicted),
                events=[(one.event_id, one.fate.value) for one in self.contradicted[:_TOLD]],
                advice="the first final fate stands; ask the house why it changed its mind",
            )


def _count(connection: Connection, destination: str, what: str, times: int) -> None:
    here = (receipt_counter.c.destination == destination) & (receipt_counter.c.what == what)
    changed = connection.execute(update(receipt_counter).where(here).values(times=receipt_counter.c.times + times))
    if changed.rowcount == 0:
        connection.execute(insert(receipt_counter), {"destination": destination, "what": what, "times": times})


def record_beacons(connection: Connection, sent: Sequence[BeaconSent], returned: Sequence[BeaconReturned]) -> dict[str, Skew]:
    """Note the marks that came home, then those that leave now, which only rise; give how clocks were measured, by destination."""
    measured: dict[str, Skew] = {}
    for home in returned:
        here = beacon.c.destination == home.destination
        row = connection.execute(select(beacon).where(here)).first()
        # A mark that was never sent is nobody's beacon: the row of another outbox, or a lie.
        if row is None or not row.returned_mark < home.mark <= row.sent_mark:
            continue
        values: dict[str, Any] = {"returned_mark": home.mark, "returned_at_utc": home.returned_at_utc}
        if home.highest is not None:
            values |= {"highest_epoch": home.epoch, "highest": home.highest}
        connection.execute(update(beacon).where(here).values(values))
        if (found := skews.by_beacon(row, home)) is not None:
            measured[home.destination] = skews.record(connection, row, found, home.returned_at_utc)
    for one in sent:
        here = beacon.c.destination == one.destination
        values = {"sent_mark": one.mark, "sent_at_utc": one.sent_at_utc}
        changed = connection.execute(update(beacon).where(here, beacon.c.sent_mark < one.mark).values(values))
        if changed.rowcount == 0 and connection.execute(select(beacon.c.sent_mark).where(here)).first() is None:
            connection.execute(insert(beacon), {"destination": one.destination, **values})
    return measured
