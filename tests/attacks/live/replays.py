"""Honest bundles sent again by whoever holds a broker: old and new, to other receivers, other lanes, another environment. And messages that
no client library makes, and such as are too large.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pika.exceptions

from broker.bundle.open import Expected, open_message
from broker.ports import Message
from broker.trust.anchors import TrustStore
from schemas.errors import DistrustError
from schemas.limits import BODY_BYTES
from schemas.names import house_of
from tests.attacks.live.ground import Ground
from tests.attacks.live.walking import Try
from tests.attacks.rows import Row
from tests.attacks.wire import STRANGE
from tests.unit.bundle.senders import with_headers

FAMILY = "replays"
_COUNTS = "SELECT (SELECT count(*) FROM inbox), (SELECT count(*) FROM declaration), (SELECT count(*) FROM crossing_event)"


def attack_with_replays(ground: Ground, times: int, seed: int) -> Iterator[Row]:
    """Copy what crosses, and send it again in every way."""
    bundles = _capture(ground, seed)
    before = [ground.world.rows(side, _COUNTS) for side in ground.lab.sides]
    random = Random(f"{seed} replays")
    tries = [_again(ground, bundles, times, random), *_elsewhere(ground, bundles), _strange(ground, bundles[0])]
    failures = ground.probe()
    after = [ground.world.rows(side, _COUNTS) for side in ground.lab.sides]
    for (was,), (now,), side in zip(before, after, ground.lab.sides, strict=True):
        more = tuple(b - a for a, b in zip(was, now, strict=True))
        if more != (1, 1, 0):  # the probe's own
            tries[0].wrongs.append(f"the records of {side.plan.country} grew by {more} events, declarations and crossings, not by one")
    yield from ground.rows_after(FAMILY, tries)
    yield _into_production(ground, bundles)
    yield _too_large(ground)
    if failures:
        yield Row(FAMILY, "honest declarations behind the replays", 1, 0, len(failures), failures=tuple(failures))


def _capture(ground: Ground, seed: int) -> list[Message]:
    with ground.operator(ground.af, "tj") as operator:
        tap = operator.tap()
        for wave in range(4):
            ground.trade(3, 1_000 + 10 * wave + 100 * (seed % 90))
        bundles = [message for message in operator.read(tap) if "declaration" in message.routing_key or "crossing" in message.routing_key]
        operator.drop(tap)
    return bundles


def _again(ground: Ground, bundles: Sequence[Message], times: int, random: Random) -> Try:
    one = Try("bundles that had crossed, sent again over the line and into the house's own broker")
    for side, lane, exchange in ((ground.tj, "af", "outbound"), (ground.af, "tj", "inbound")):
        with ground.operator(side, lane) as operator:
            for _ in range(times):
                one.tries += operator.publish(random.sample(bundles, len(bundles)), exchange)
    return one


def _elsewhere(ground: Ground, bundles: Sequence[Message]) -> Iterator[Try]:
    """To the own house, to the other lane, to posts; as they are, and with headers and routing key put right for there."""
    places = (
        ("to the own house", ground.tj, "tj", "tj-customs"),
        ("back to the sender's side", ground.tj, "af", "tj-customs"),
        ("to the receiver's own lane", ground.af, "af", "af-customs"),
        ("to a post", ground.af, "tj", "af-sher-khan-bandar"),
    )
    for name, side, lane, unit in places:
        one = Try(f"bundles sent {name}, as they are and addressed anew")
        country, _, post = unit.partition("-")
        urn = f"urn:customs:{country}:{post}"
        moved = [replace(each, routing_key=f"{unit}.{each.routing_key.split('.', 1)[1]}") for each in bundles]
        receipts = [replace(each, routing_key=f"{unit}.customs-receipt-v1.{each.routing_key.rsplit('.', 1)[1]}") for each in bundles]
        with ground.operator(side, lane) as operator:
            for group in (bundles, moved, [with_headers(each, destination=urn) for each in moved], receipts):
                one.tries += operator.publish(group, "inbound")
        yield one


def _strange(ground: Ground, honest: Message) -> Try:
    one = Try("messages with properties that no client library makes")
    with ground.operator(ground.tj, "af") as operator:
        for strange in STRANGE:
            one.tries += operator.publish([honest], strange=strange)
    with ground.operator(ground.af, "tj") as operator:
        control = with_headers(replace(honest, routing_key="af-customs.customs-beacon-v1.tj-panji-poyon"), type="customs.beacon.v1")
        for strange in STRANGE:
            one.tries += operator.publish([control], "inbound", strange)
    with ground.operator(ground.af, "tj") as operator:
        receipt = replace(honest, routing_key="tj-panji-poyon.customs-receipt-v1.af-customs")
        for strange in STRANGE:
            one.tries += operator.publish([receipt], "outbound", strange)
    return one


def _into_production(ground: Ground, bundles: Sequence[Message]) -> Row:
    """What was signed in the test environment, at the door of a house that is in production, with the same trust."""
    trust = TrustStore.of(ground.af.settings)
    opened, codes = [], set()
    for environment in ("production", "test-2", "Test"):
        for bundle in bundles:
            for message in (bundle, with_headers(bundle, environment=environment)):
                try:
                    opened.append(open_message(message, trust, Expected("tj", house_of("af"), environment), datetime.now(UTC)))
                except DistrustError as error:
                    codes.add(error.code)
    here = sum(1 for bundle in bundles if open_message(bundle, trust, Expected("tj", house_of("af"), "test"), datetime.now(UTC)).events)
    name = "bundles of the test environment into production"
    return Row(FAMILY, name, 6 * len(bundles), len(opened), 0, here == len(bundles), ", ".join(sorted(codes)))


def _too_large(ground: Ground) -> Row:
    """Bodies past the limit: the broker itself refuses them, so that no daemon ever holds a hundred of them."""
    let_in, sizes = [], (BODY_BYTES + 1, 8 * BODY_BYTES, 30 * BODY_BYTES)
    for side, lane, exchange in ((ground.af, "tj", "inbound"), (ground.tj, "af", "outbound")):
        for size in sizes:
            message = Message("af-customs.customs-export-declaration-v1.tj-panji-poyon", bytes(size), {}, "application/octet-stream")
            try:
                with ground.operator(side, lane) as operator:
                    if operator.publish([message], exchange):
                        let_in.append(f"{size:,} bytes into {exchange} of {side.plan.country}")
            except pika.exceptions.AMQPError:
                continue
    with ground.operator(ground.af, "tj") as operator:
        small = Message("af-customs.customs-export-declaration-v1.tj-panji-poyon", bytes(BODY_BYTES), {}, "application/octet-stream")
        taken = operator.publish([small], "inbound") == 1
    return Row(
        FAMILY, "bodies past the limit, at the broker", 2 * len(sizes), len(let_in), 0, taken, "refused by the broker", tuple(let_in)
    )
