"""How fast the outbox accepts, and how much the relay costs an event out of a backlog: brokers in memory, real signatures, real SQLite.

    python -m tests.benchmarks.outbox [events] [SQLAlchemy URL]

The house's part (opening, answering) is left out of the relay's time. The last line is JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from broker.bundle.open import Expected, open_message
from broker.outbox.store import Outbox
from broker.outbox.values import Draft, Occurrences, OutboxRow, ReceivedReceipt, Relayed, Settlement
from schemas.event import digest_of
from schemas.fates import Fate
from tests.unit.outbox.drafts import HOUSE, POST, HandClock, draft
from tests.unit.relay.frontier import Frontier, frontier_at

BATCH = 500
RECEIPTS = 50  # the most that one turn of the relay takes


def batches(count: int, first: int = 1) -> list[list[Draft]]:
    """Drafts of about 1 kB each, in batches."""
    every = [draft(number, length=550) for number in range(first, first + count)]
    return [every[start : start + BATCH] for start in range(0, count, BATCH)]


def accept(outbox: Outbox, drafts: Sequence[Sequence[Draft]]) -> float:
    """Accept them all; events per second."""
    start = time.perf_counter()
    for batch in drafts:
        outbox.accept(batch)
    return sum(map(len, drafts)) / (time.perf_counter() - start)


def record(outbox: Outbox, clock: HandClock, each: int) -> tuple[float, float]:
    """Note a backlog as relayed, then settle it by receipts of `each` answers, kept as they came; events per second of both."""
    rows: list[list[OutboxRow]] = []
    after = 0
    while part := outbox.waiting(HOUSE.urn, BATCH, 10**7, after):
        rows.append(part)
        after = part[-1].position
    count = sum(map(len, rows))
    start = time.perf_counter()
    for part in rows:
        outbox.record(Occurrences(relayed=[Relayed(tuple(row.position for row in part), 1, clock())]))
    relayed = time.perf_counter() - start
    turns = [turn for batch in rows for turn in _parts(batch, min(BATCH, each * RECEIPTS))]
    answers = [Occurrences(settlements=[], receipts=[]) for _ in turns]
    for turn, occurrences in zip(turns, answers, strict=True):
        for answered in _parts(turn, each):
            receipt = receipt_of(answered[0].digest, len(answered))
            occurrences.receipts.append(receipt)
            occurrences.settlements.extend(
                Settlement(json.loads(row.raw)["id"], row.digest, HOUSE.urn, Fate.LOADED, receipt=receipt.digest) for row in answered
            )
    start = time.perf_counter()
    for occurrences in answers:
        outbox.record(occurrences)
    return count / relayed, count / (time.perf_counter() - start)


def _parts(rows: Sequence[OutboxRow], size: int) -> list[Sequence[OutboxRow]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def receipt_of(mark: bytes, answers: int) -> ReceivedReceipt:
    """As large as a real one: 130 bytes an answer, and a signature of one digest. `mark` makes it another one."""
    raw = b"".join([mark, bytes(500 + 130 * answers)])
    return ReceivedReceipt(digest_of(raw), HOUSE.urn, raw, "x" * 1_700)


def relay(frontier: Frontier, count: int) -> tuple[float, float, int]:
    """Relay a backlog until it is settled: CPU and wall microseconds of the relay per event, and its turns."""
    cpu = wall = 0.0
    turns = 0
    while not frontier.relay.quiet():
        wall_start, cpu_start = time.perf_counter(), time.thread_time()
        frontier.relay.turn()
        wall, cpu = wall + time.perf_counter() - wall_start, cpu + time.thread_time() - cpu_start
        turns += 1
        answer(frontier)
    return cpu / count * 1e6, wall / count * 1e6, turns


def answer(frontier: Frontier) -> None:
    """The house's part of a turn."""
    house = frontier.house
    for delivery in house._streams.take(1_000, 0):
        bundle = open_message(delivery.message, house.trust, Expected("tj", HOUSE, "test"), house.clock())
        house.answer(bundle.events)
        house._streams.ack([delivery])


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    count = int(arguments[0]) if arguments else 20_000
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        url = arguments[1] if len(arguments) > 1 else f"sqlite:///{directory}/outbox.sqlite"
        clock = HandClock(datetime.now(UTC))
        outbox = Outbox.open(url, POST, "test", clock)
        figures = {"accepted_per_second": accept(outbox, batches(count))}
        figures["relayed_per_second"], figures["settled_per_second"] = record(outbox, clock, BATCH)
        accept(outbox, batches(count // 4, 2 * count + 1))
        _, figures["settled_by_single_receipts_per_second"] = record(outbox, clock, 1)
        outbox.close()
        with frontier_at(directory, url) as frontier:
            frontier.relay.close()
            frontier.relay = frontier.new_relay(window_events=5_000)
            frontier.relay.open()
            accept(frontier.outbox, batches(count, count + 1))
            figures["relay_cpu_us_per_event"], figures["relay_wall_us_per_event"], figures["relay_turns"] = relay(frontier, count)
            start = time.perf_counter()
            for _ in range(200):
                frontier.relay.turn()
            figures["idle_turn_us"] = (time.perf_counter() - start) / 200 * 1e6
    print(json.dumps({name: round(figure, 1) for name, figure in figures.items()}))  # noqa: T201 - a benchmark's result


if __name__ == "__main__":
    main(sys.argv[1:])
