"""Costs against the number of partner countries: a relay with a lane to each of them, and their virtual hosts on a broker."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from broker.memory import MemoryExchange
from broker.outbox.store import Outbox
from broker.relay.relay import Relay
from broker.topology.apply import apply_topology, plan_topology
from broker.topology.management import ManagementApi
from broker.trust.anchors import TrustStore
from broker.trust.authority import create_authority
from schemas.names import house_of
from tests.benchmarks.growth.administration import countries, plain_node, settings_with
from tests.benchmarks.growth.curves import Curve
from tests.benchmarks.growth.measuring import Form, Series, Tally
from tests.benchmarks.growth.post import DECLARATION, IDLE_TURNS, new_number
from tests.unit.outbox.drafts import POST, HandClock, draft
from tests.unit.producers.examples import settings_of
from tests.unit.relay.frontier import RELAY, identity_of

SIZES = (1, 2, 5, 10)
EVENTS = 500  # for each partner in each round: a bundle
TURNS = 2  # it leaves in the first, and its confirm is recorded in the second


def by_partners(form: Form) -> list[Curve]:
    """A post that sends to all of them, and its administration's broker."""
    series = Series()
    for partners in SIZES:
        with tempfile.TemporaryDirectory(prefix="panj-growth-") as folder:
            series.add(partners, _relay(Path(folder), partners, form))
    with plain_node() as (node, directory):
        for partners, before in zip(SIZES, (0, *SIZES), strict=False):
            settings = settings_with(directory, 2, partners, node.management_url)
            began = time.perf_counter()
            apply_topology(settings)
            applied = (time.perf_counter() - began) / (partners - before) * 1e3
            with ManagementApi(settings.broker.management) as api:
                began = time.perf_counter()
                assert not plan_topology(settings, api).changes
                planned = (time.perf_counter() - began) / partners * 1e3
            series.add(partners, {"apply": applied, "plan": planned})
    units = {"idle turn": "µs a lane", "relay begins": "µs a lane", "apply": "ms a partner", "plan": "ms a partner"}
    return [Curve("partners", name, "partner countries", units.get(name, DECLARATION), tuple(at)) for name, at in series.points.items()]


def _relay(directory: Path, partners: int, form: Form) -> dict[str, float]:
    clock, tally = HandClock(), Tally()
    outbox = Outbox.open(f"sqlite:///{directory}/outbox.sqlite", POST, "test", clock)
    identity = identity_of(create_authority(directory / "tj", "tj"), POST)
    named = countries(partners)
    exchanges = {country: MemoryExchange() for country in named}
    for exchange in exchanges.values():
        exchange.declare(POST.unit, f"{POST.unit}.#")
        exchange.federate(sink := MemoryExchange())
        sink.declare("everything", "#")
    settings = settings_of(directory).model_copy(update={"relay": RELAY.model_copy(update={"window_events": 1_000_000})})
    for _ in range(form.rounds):
        drafts = [draft(new_number(), destination=house_of(named[number % partners]), length=550) for number in range(EVENTS * partners)]
        with tally.of("accept", EVENTS * partners):
            outbox.accept(drafts)
        brokers = {country: exchange.broker() for country, exchange in exchanges.items()}
        relay = Relay(settings, POST, outbox, identity, TrustStore({}, {}), brokers, clock=clock)
        with tally.of("relay begins", partners):
            relay.open()
        with tally.of("relay turn", EVENTS * partners):
            for _ in range(TURNS):
                relay.turn()
        with tally.of("idle turn", IDLE_TURNS * partners):
            for _ in range(IDLE_TURNS):
                relay.turn()
        assert outbox.is_quiet() is False
        assert not sum(depth.waiting for depth in outbox.counts())
        relay.close()
    outbox.close()
    return tally.medians()
