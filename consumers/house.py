"""The customs house's daemon: a worker thread per consumer over all lanes, one for control events, and the trust store kept fresh."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping, Sequence

import structlog
from sqlalchemy import Engine

from broker.amqp import connect
from broker.daemon import supervise
from broker.freshness import Freshness
from broker.operations.expiries import ExpiryWatch, of_house
from broker.operations.prune import look_each_hour
from broker.ports import Broker
from broker.settings.code_lists import apply_lists
from broker.settings.model import House, Settings
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity, Signer, own_identity
from broker.trust.sealing import DecryptionKeys
from consumers.clock import Clock, HouseClock, begin_clock, now_utc
from consumers.control import ControlWorker, expectations
from consumers.database import open_engine
from consumers.loaders.following.worker import follower_workers
from consumers.migrations import make_ready
from consumers.patience import patiently
from consumers.pipeline import Pipeline
from consumers.pruning import prune_house
from consumers.registry import Consumer, load_consumer
from consumers.telling import CrlTeller
from consumers.worker import Worker
from schemas.errors import SettingsError

log = structlog.get_logger()

COLLECT_OBJECTS = 5_000  # a batch makes 100,000 and leaves nearly none in a circle: by the default of 700 a seventh of the time is search


def run_house(settings: Settings, stop: threading.Event, *, trust_clock: bool = False) -> None:
    """Run the customs house until `stop` is set: then the batches in hand are finished and what was only taken goes back.

    With `trust_clock` it works although the clock stands before what it wrote down earlier.

    SettingsError where the settings name no house, a consumer is missing, or the database is older than this software; a database that
    is away is waited for.
    """
    house = house_of(settings)
    apply_lists(settings.code_lists)
    consumers = [load_consumer(configured) for configured in house.consumers]
    signer = Signer(own_identity(settings.house_party, house))
    trust = TrustStore.of(settings)
    engine = open_engine(house.database)
    patiently(lambda: make_ready(engine), engine, stop)
    clock = patiently(lambda: begin_clock(engine, settings.house_party, trust_clock=trust_clock), engine, stop)
    brokers = {lane: connect(settings, lane, settings.house_party, house) for lane in settings.lanes}
    try:
        teller = CrlTeller(settings, engine, trust, signer, brokers, clock)
        teller.look()  # before anything else leaves or comes in: what is revoked is known first
        workers = make_workers(
            settings, consumers=consumers, engine=engine, trust=trust, signer=signer, brokers=brokers, stop=stop, clock=clock
        )
        log.info("house.started", country=settings.country, consumers=[consumer.queue for consumer in consumers], lanes=settings.lanes)
        fresh = Freshness(trust, signer.identity, house, lambda renewed: _sign_with(renewed, signer, brokers), [teller.look])
        workers["trust"] = lambda: fresh.run(stop)
        workers["expiries"] = lambda: ExpiryWatch(lambda now: of_house(settings, house, trust, now)).run(stop)
        workers.update(follower_workers(settings, engine, stop, DecryptionKeys.load(house)))
        if settings.retention.archive is not None:
            workers["retention"] = lambda: look_each_hour(lambda: prune_house(settings, engine), stop)
        _leave_what_stays_to_the_end()
        supervise(workers, stop)
        log.info("house.stopped", country=settings.country)
    finally:
        for broker in brokers.values():
            broker.close()
        engine.dispose()


def _leave_what_stays_to_the_end() -> None:
    """Have the collector search only what is made from now on, and less often (Python's manual, `gc.freeze`)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_OBJECTS)


def make_workers(
    settings: Settings,
    *,
    consumers: Sequence[Consumer],
    engine: Engine,
    trust: TrustStore,
    signer: Signer,
    brokers: Mapping[str, Broker],
    stop: threading.Event,
    clock: HouseClock,
) -> dict[str, Callable[[], None]]:
    """Make the workers of a house, by name, ready to run each in a thread of its own."""
    expected = expectations(settings.country, settings.lanes, settings.environment)
    workers: dict[str, Callable[[], None]] = {}
    for pipeline in make_pipelines(settings, consumers, engine, trust, stop, clock):
        worker = Worker(pipeline, settings.house_party, settings.environment, signer, brokers, clock)
        worker.open()  # here and not in its thread: a lane's first subscription is one thread's affair
        workers[worker.name] = worker.run
    control = ControlWorker(
        engine=engine,
        trust=trust,
        expected=expected,
        signer=signer,
        brokers=brokers,
        stop=stop,
        clock=clock,
        tolerance_seconds=settings.clock_tolerance_seconds,
        backup_horizon_seconds=house_of(settings).backup_horizon_days * 86_400,
        keys=DecryptionKeys.load(house_of(settings)),
    )
    control.open()
    workers[control.name] = control.run
    return workers


def make_pipelines(
    settings: Settings, consumers: Sequence[Consumer], engine: Engine, trust: TrustStore, stop: threading.Event, clock: Clock = now_utc
) -> list[Pipeline]:
    """Make the ways in, one for each consumer: the daemon's, and those of a command that does its work while no daemon runs."""
    expected = expectations(settings.country, settings.lanes, settings.environment)
    keys = DecryptionKeys.load(house_of(settings))
    return [Pipeline(consumer, engine, trust, expected, stop, clock, keys=keys) for consumer in consumers]


def house_of(settings: Settings) -> House:
    """The house that the settings describe; SettingsError where they describe none."""
    if settings.house is None:
        raise SettingsError("house-missing", "exchange.toml has no [house]: this administration runs no customs house", field="house")
    return settings.house


def _sign_with(renewed: Identity, signer: Signer, brokers: Mapping[str, Broker]) -> None:
    """Sign with a renewed pair from now on, and have the connections made anew with it."""
    signer.identity = renewed
    for broker in brokers.values():
        broker.renew()
