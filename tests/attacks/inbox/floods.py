"""Floods: what a stranger or a post with a good key can make the house keep, log and hold in memory. Bounds taken smaller, so that seconds
pass them.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from unittest.mock import patch

from broker.bundle.pack import Route
from broker.memory import MemoryExchange
from broker.ports import Message
from broker.trust.keys import Signer
from consumers.worker import Worker
from schemas.event import event_bytes, new_id, new_salt
from schemas.limits import BODY_BYTES, EVENT_BYTES
from tests.attacks.inbox.house import House, new_house
from tests.attacks.quiet import Sink, quieten
from tests.attacks.rows import Row, named
from tests.integration.consumers.frontier import EXPORT, HOUSE, declaration
from tests.unit.bundle.senders import attributes, signed_anyhow, with_headers

FAMILY = "inbox"
ROWS, TOTAL_BYTES = 100, 4 * 1024**2
CODES = 30  # reasons for which a stranger's message is parked, at most
RSS_BYTES = 1_200 * 1024**2


def attack_with_floods(messages: int, seed: int) -> Iterator[Row]:
    """A row for each flood."""
    seen = _control(seed)
    for flood in (_of_strangers, _closed_and_sent_again, _of_conflicts, _of_no_events):
        with patch("consumers.parked.OPEN_ROWS", ROWS), patch("consumers.parked.TOTAL_BYTES", TOTAL_BYTES), new_house() as house:
            yield _flooded(flood, house, messages, seed, seen)
    yield _memory()


def _control(seed: int) -> bool:
    """Whether the check sees what a flood keeps where the bounds are as wide as they are in earnest."""
    with new_house() as house:
        return _flooded(_of_strangers, house, 4 * CODES * ROWS // 6, seed, None).crashed > 0


def _flooded(flood: Callable[[House, Random, int], int], house: House, messages: int, seed: int, seen: bool | None) -> Row:
    sink = quieten()
    began = time.monotonic()
    tries = flood(house, Random(f"{seed} {flood.__name__}"), messages)
    seconds = time.monotonic() - began
    wrongs, over = house.wrongs(), _past_bounds(house, sink)
    if flood is not _closed_and_sent_again and house.parked()["times"] < tries:  # there the closed ones are forgotten
        over.append(f"{tries - house.parked()['times']} messages are not accounted for")
    note = _seen(house, sink, tries, seconds)
    return Row(FAMILY, named(flood), tries, len(wrongs), len(over), seen, note, (*wrongs, *over))


def _past_bounds(house: House, sink: Sink) -> list[str]:
    parked = house.parked()
    over = []
    if parked["rows"] > CODES * (2 * ROWS + 1):
        over.append(f"{parked['rows']:,} rows are parked")
    if parked["kept"] > TOTAL_BYTES or parked["ids"] * 100 > TOTAL_BYTES:
        over.append(f"{parked['kept']:,} bytes and {parked['ids']:,} ids are kept")
    if house.file_bytes() > 12 * TOTAL_BYTES:
        over.append(f"the database has {house.file_bytes():,} bytes")
    if sink.harmful:
        over.append(f"the log speaks to terminals: {sink.harmful[0]}")
    return over


def _seen(house: House, sink: Sink, tries: int, seconds: float) -> str:
    parked = house.parked()
    return (
        f"{tries / seconds:,.0f}/s; {parked['rows']:,} rows, {parked['kept'] / 1e6:.1f} MB and {parked['ids']:,} ids kept; "
        f"{sink.bytes / tries:.0f} bytes of log each"
    )


def _garbage(random: Random, honest: Message, ids: int = 500) -> Message:
    body = b"[\n" + b",\n".join(b'{"id":"%s"}' % new_id().encode() for _ in range(ids)) + b"\n]"
    kind = random.randrange(6)
    if kind == 0:
        return replace(honest, body=random.randbytes(2_000))
    if kind == 1:
        return replace(honest, body=body, content_encoding=None)
    if kind == 2:
        return with_headers(replace(honest, body=body, content_encoding=None), events=ids)
    if kind == 3:
        return with_headers(honest, jws="x" * random.randrange(90_000))
    if kind == 4:
        return replace(honest, content_type=f"\x1b[2J{random.random()}", body=body)
    return with_headers(honest, source=f"urn:customs:tj:x{random.randrange(10**9)}", **{f"h{random.random()}": "x" * 5_000})


def _of_strangers(house: House, random: Random, messages: int) -> int:
    """A flood of different messages that nobody can open, full of claims."""
    post = house.frontier.new_post("panji-poyon")
    honest = post.bundle([house.event(post, declaration(1))])
    for _ in range(messages // 10):
        house.take([_garbage(random, honest) for _ in range(10)])
    return messages // 10 * 10


def _closed_and_sent_again(house: House, random: Random, messages: int) -> int:
    """Changed copies of a bundle that has come, closed by sending it again, and changed anew."""
    post = house.frontier.new_post("panji-poyon")
    raw = house.event(post, declaration(1))
    honest, rounds = post.bundle([raw]), messages // (ROWS // 2)
    for _ in range(rounds):
        body = b"[\n" + raw + b"\n]"
        spoiled = [with_headers(replace(honest, body=body, content_encoding=None), jws=f"{random.random()}") for _ in range(ROWS // 2)]
        house.take([*spoiled, honest])
    return rounds * (ROWS // 2)


def _of_conflicts(house: House, random: Random, messages: int) -> int:
    """Five hundred events a bundle under one id, each with other content, rightly signed."""
    post = house.frontier.new_post("panji-poyon")
    first = house.event(post, declaration(1))
    house.take([post.bundle([first])])
    bundles = max(1, messages // 500)
    for _ in range(bundles):
        house.take([post.bundle([event_bytes(json.loads(first) | {"salt": new_salt()}) for _ in range(500)])])
    return bundles * 500


def _of_no_events(house: House, random: Random, messages: int) -> int:
    """Five hundred entries a bundle that are no events, rightly signed."""
    post = house.frontier.new_post("panji-poyon")
    route = Route(post.party, HOUSE, EXPORT)
    bundles = max(1, messages // 500)
    for _ in range(bundles):
        entries = [b'{"a":%d}' % random.randrange(10**12) for _ in range(500)]
        message = signed_anyhow(entries, route, post.identity, datetime.now(UTC))
        house.take([message])
    return bundles * 500


def _memory() -> Row:
    """In a process of its own: bundles of a few kilobytes that unpack to the limit and parse to much more, and bodies of four megabytes."""
    context = multiprocessing.get_context("fork")
    with context.Pool(1, maxtasksperchild=1) as pool:
        tries, rss, seconds = pool.apply(_swallow)
    note = f"at most {rss / 1e6:.0f} MB; {seconds:.0f} s"
    failures = (f"it needed {rss / 1e6:.0f} MB",) if rss > RSS_BYTES else ()
    return Row(
        FAMILY, "bundles that are small on the line and large in memory, many at once", tries, 0, len(failures), None, note, failures
    )


def _swallow() -> tuple[int, int, float]:
    quieten()
    resource.setrlimit(resource.RLIMIT_AS, (6 * 1024**3, 6 * 1024**3))
    began = time.monotonic()
    with new_house() as house:
        post = house.frontier.new_post("panji-poyon")
        here = MemoryExchange()
        here.declare("af-customs.record", "af-customs.#")
        here.federate(here)
        route = Route(post.party, HOUSE, EXPORT)
        now = datetime.now(UTC)
        fills: tuple[Callable[[], bytes], ...] = (lambda: b"[1],", lambda: b'{"a":1},', lambda: b"{},", lambda: b'"",')
        messages = []
        for fill in fills:
            raw = event_bytes(attributes(route, 1, {"x": 1})).replace(
                b'"x":1', b'"x":[' + fill() * ((EVENT_BYTES - 900) // len(fill())) + b"0]"
            )
            messages += [signed_anyhow([raw] * 15, route, post.identity, now)] * 2
        messages += [with_headers(replace(messages[0], body=bytes(BODY_BYTES)), events=number) for number in range(1, 21)]
        for message in messages:
            here.deliver(message)
        worker = Worker(house.pipeline, HOUSE, "test", Signer(house.frontier.house_identity), {"tj": here.broker()})
        worker.open()
        while worker.turn():
            pass
    return len(messages), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.monotonic() - began
