"""What is promised, counted: what was taken off the posts' hands against what both sides' databases hold of it.

What was accepted is told by the files, not by the outbox: a file in `taken/` is the post's word that it has it. What was loaded is told
by the ledger (`ledger`), which repels no copy, and not by the inbox.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, NullPool, Table, create_engine, func, inspect, select
from sqlalchemy.engine import make_url

from broker.operations.contributions import database_exists
from broker.outbox.tables import outbox
from consumers.tables import inbox
from deploy.lab.administrations import Administration
from schemas.fates import Fate
from tests.faults.fault import Breach
from tests.faults.ledger import ledger
from tests.faults.load import Dropped, Key, Wave

EXAMPLES = 5  # breaches told in words
_AT_ONCE = 500  # references named in one query


@dataclass(slots=True)
class Account:
    """How a wave stands once all is quiet. `accepted` declarations were taken from the posts' directories, each once."""

    accepted: int = 0
    loaded: int = 0
    refused: int = 0
    held: int = 0
    breaches: dict[Breach, int] = field(default_factory=lambda: dict.fromkeys(Breach, 0))
    examples: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.breaches.values()) and self.accepted == self.loaded + self.refused + self.held

    def add(self, other: Account) -> None:
        """Add another wave's account."""
        self.accepted += other.accepted
        self.loaded += other.loaded
        self.refused += other.refused
        self.held += other.held
        for breach, count in other.breaches.items():
            self.breaches[breach] += count
        self.examples.extend(other.examples[: max(0, EXAMPLES - len(self.examples))])

    def note(self, breach: Breach, what: str) -> None:
        """Count one breach."""
        self.breaches[breach] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{breach.value}: {what}")


class _Sent(NamedTuple):
    """One outbox row, as far as it matters here."""

    settled: bool
    fate: str | None


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection to a database of the laboratory that is opened for this and closed after it: files and servers change under faults."""
    connect = {"timeout": 30} if make_url(url).get_backend_name() == "sqlite" else {"connect_timeout": 5}
    engine = create_engine(url, poolclass=NullPool, connect_args=connect)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def files_waiting(wave: Wave) -> int:
    """How many of the wave's declarations are still where they were dropped."""
    return sum(len(wave.waiting_keys(way)) for way in range(len(wave.dropped)))


def settled(wave: Wave, way: int) -> int:
    """How many of the declarations that were dropped one way have their answer."""
    return len(wave.keys(way) - wave.waiting_keys(way) - unsettled_keys(wave, way))


def unsettled(wave: Wave) -> int:
    """How many of the wave's events are in an outbox without an answer (HELD is one)."""
    return sum(len(unsettled_keys(wave, way)) for way in range(len(wave.dropped)))


def unsettled_keys(wave: Wave, way: int) -> set[Key]:
    """Which of the declarations that were dropped one way are in their outbox without an answer."""
    dropped, ours = wave.dropped[way], wave.keys(way)
    url = dropped.way.sender.settings.posts[dropped.way.post].outbox
    if not ours or not database_exists(url):
        return set()
    waiting = select(outbox.c.type, outbox.c.reference, outbox.c.version).where(
        outbox.c.settled_at_utc.is_(None), outbox.c.answered_fate.is_(None)
    )
    with reading(url) as connection:
        if not _has(connection, outbox):
            return set()
        # Two questions that the partial indexes answer, however many rows are settled.
        return {
            key
            for part in (outbox.c.relayed_at_utc.is_(None), outbox.c.relayed_at_utc.is_not(None))
            for row in connection.execute(waiting.where(part))
            if (key := (row.type, row.reference, row.version)) in ours
        }


def account(wave: Wave) -> Account:
    """Count a wave: both directions."""
    found = Account()
    for dropped in wave.dropped:
        _count(dropped, found)
    return found


def _count(dropped: Dropped, found: Account) -> None:
    accepted = _accepted(dropped, found)
    found.accepted += len(accepted)
    references = sorted({reference for _, reference, _ in accepted})
    sent = _sent(dropped, references)
    fates, loads = _received(dropped.way.receiver, references)
    for key in sorted(accepted):
        loaded, received = loads[key], fates[key]
        # The house's fate; where there is none, but a row in the ledger, the event has come in and the inbox does not know of it.
        fate = received[0] if received else (Fate.LOADED if loaded else None)
        found.loaded += fate is Fate.LOADED
        found.refused += fate is Fate.REFUSED
        found.held += fate is Fate.HELD
        for breach, why in _breaches(dropped.deserved[key], sent[key], received, loaded):
            found.note(breach, f"{key[1]} version {key[2]}: {why}")


def _accepted(dropped: Dropped, found: Account) -> set[Key]:
    """What the post took: the declarations of the files in `taken/`. A file that is nowhere any more is lost."""
    watch = dropped.way.watch
    waiting = {path.name for path in watch.iterdir()}
    taken = {path.name for path in (watch / "taken").rglob("*.json")}
    rejected = {path.name for path in (watch / "rejected").rglob("*.json")}
    accepted: set[Key] = set()
    for name, key in dropped.files.items():
        if name in taken:
            accepted.add(key)
        elif name in rejected:
            found.note(Breach.MISJUDGED, f"{name} was rejected")
        elif name in waiting:
            found.note(Breach.UNSETTLED, f"{name} was not taken")
        else:
            found.note(Breach.LOST, f"{name} is gone")
    return accepted


def _sent(dropped: Dropped, references: Sequence[str]) -> dict[Key, list[_Sent]]:
    """The outbox rows of these declarations; more than one where an outbox began a new life."""
    rows: dict[Key, list[_Sent]] = defaultdict(list)
    columns = (
        outbox.c.type,
        outbox.c.reference,
        outbox.c.version,
        outbox.c.settled_at_utc,
        func.coalesce(outbox.c.fate, outbox.c.answered_fate),
    )
    with reading(dropped.way.sender.settings.posts[dropped.way.post].outbox) as connection:
        for part in _parts(references):
            for event_type, reference, version, settled_at, fate in connection.execute(
                select(*columns).where(outbox.c.reference.in_(part))
            ):
                rows[(event_type, reference, version)].append(_Sent(settled_at is not None, fate))
    return rows


def _received(receiver: Administration, references: Sequence[str]) -> tuple[dict[Key, list[Fate]], Counter[Key]]:
    """What the house says became of these declarations, by event, and how often each was really written down."""
    house = receiver.settings.house
    assert house is not None
    fates: dict[Key, list[Fate]] = defaultdict(list)
    loads: Counter[Key] = Counter()
    with reading(house.database) as connection:
        for part in _parts(references):
            said = select(inbox.c.type, inbox.c.reference, inbox.c.version, inbox.c.fate).where(inbox.c.reference.in_(part))
            for event_type, reference, version, fate in connection.execute(said):
                fates[(event_type, reference, version)].append(Fate(fate))
            entries = select(ledger.c.type, ledger.c.reference, ledger.c.version).where(ledger.c.reference.in_(part))
            loads.update((row.type, row.reference, row.version) for row in connection.execute(entries))
    return fates, loads


def _breaches(deserved: Fate, sent: Sequence[_Sent], received: Sequence[Fate], loaded: int) -> Iterator[tuple[Breach, str]]:
    """What is wrong with one declaration. Pure."""
    if loaded > 1:
        yield Breach.TWICE, f"written {loaded} times"
    pending = [row for row in sent if not row.settled and row.fate is None]
    if not received and not loaded:
        if pending:
            yield Breach.UNSETTLED, "its house does not know it, its sender still sends it"
        else:
            yield Breach.LOST, "its sender has finished with it" if sent else "its sender does not know it"
        return
    if pending:
        yield Breach.UNSETTLED, "its house has it, its sender was not told"
    if (Fate.LOADED in received) != bool(loaded):
        yield Breach.MISJUDGED, f"the inbox says {[fate.value for fate in received]}, {loaded} rows were written"
    elif received[0] is not deserved:
        yield Breach.MISJUDGED, f"it is {received[0].value} and deserves {deserved.value}"
    elif {row.fate for row in sent} - {None, received[0].value}:
        yield Breach.MISJUDGED, f"its sender was told {[row.fate for row in sent]}, its house says {received[0].value}"


def _has(connection: Connection, table: Table) -> bool:
    return inspect(connection).has_table(table.name)


def _parts(references: Sequence[str]) -> Iterable[Sequence[Any]]:
    return (references[start : start + _AT_ONCE] for start in range(0, len(references), _AT_ONCE))
