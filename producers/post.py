"""The post's daemon, put together: its sources into the outbox on a thread each, the relay on another, trust reloaded beside them.

What each part does stands in its own place: `sources`, `intake`, `broker.relay`, `broker.trust`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import structlog

from broker.amqp import connect
from broker.daemon import supervise
from broker.freshness import Freshness
from broker.operations.expiries import ExpiryWatch, of_post
from broker.operations.prune import look_each_hour
from broker.outbox.store import Outbox, now_utc
from broker.relay.relay import Relay
from broker.settings.code_lists import apply_lists
from broker.settings.model import Settings
from broker.settings.sources import ViewSource
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity, own_identity
from producers.fates.receivers import receiver_of
from producers.fates.teller import Teller
from producers.formats.registry import Reader, reader_of
from producers.intake import Intake
from producers.life import keep_marked, mark, open_outbox
from producers.national import open_national
from producers.pruning import prune_outbox
from producers.sources.directory import WatchedDirectory, watch
from producers.sources.http.service import HttpService
from producers.sources.shelves import Shelves
from producers.sources.view.contents import content_of
from producers.sources.view.following import FollowedView, follow
from producers.sources.view.national import NationalView
from schemas.errors import UnavailableError

FREE_AGAIN_SECONDS = 0.5

log = structlog.get_logger()


def run_post(settings: Settings, name: str, stop: threading.Event) -> None:
    """Run the post until `stop` is set: the batch in hand is finished, then everything is closed.

    SettingsError at the start where settings, keys or the outbox are wrong; what goes wrong later is logged and tried again.
    """
    party = settings.post_party(name)
    with ExitStack() as opened:
        outbox = opened.enter_context(opened_outbox(settings, name, keeps_copy=True))
        intake = Intake(settings, party, outbox)
        directory = WatchedDirectory(settings.posts[name].watch, intake, reader_of_post(settings, name))
        relay, trust = opened.enter_context(relay_of(settings, name, outbox))
        fresh = Freshness(trust, relay.identity, settings.posts[name], relay.sign_with, [keep_marked(settings, name, outbox, stop.set)])
        log.info("post.started", post=party.urn, epoch=outbox.epoch, watch=str(settings.posts[name].watch))
        teller = opened.enter_context(_teller(settings, name, outbox, relay))
        workers: dict[str, Callable[[], None]] = {
            "intake": lambda: watch(directory, stop, relay.wake),
            **_more_sources(settings, name, outbox, relay, stop),
            "relay": lambda: relay_when_free(relay, stop),
            "trust": lambda: fresh.run(stop),
            "expiries": lambda: ExpiryWatch(lambda now: of_post(settings, name, trust, now)).run(stop),
        }
        if teller is not None:
            workers["fates"] = lambda: teller.run(stop)
        if settings.retention.archive is not None:
            workers["retention"] = lambda: look_each_hour(lambda: prune_outbox(settings, outbox), stop)
        supervise(workers, stop)
    log.info("post.stopped", post=party.urn)


def _more_sources(settings: Settings, name: str, outbox: Outbox, relay: Relay, stop: threading.Event) -> dict[str, Callable[[], None]]:
    """The sources beside the directory that are configured, each a worker."""
    workers: dict[str, Callable[[], None]] = {}
    if settings.posts[name].http is not None:
        http = HttpService(settings, name, outbox, reader_of_post(settings, name), relay.wake)
        workers["http"] = lambda: http.run(stop)
    for source in settings.posts[name].views:
        followed = followed_view(settings, name, source, outbox, relay.wake)
        workers[f"view {source.name}"] = lambda followed=followed: follow(followed, outbox.cursors, stop)  # type: ignore[misc]
    return workers


def followed_view(settings: Settings, name: str, source: ViewSource, outbox: Outbox, on_accepted: Callable[[], None]) -> FollowedView:
    """Put one view of a post together, without asking its database yet; SettingsError where its URL, password or mapping file is wrong."""
    content = content_of(source, reader_of_post(settings, name))
    view = NationalView(open_national(source.database, source.password_file), source, content.columns)
    intake, shelves = Intake(settings, settings.post_party(name), outbox), Shelves(settings.posts[name].watch)
    return FollowedView(source, view, outbox.cursors, intake, content, shelves, on_accepted)


@contextmanager
def _teller(settings: Settings, name: str, outbox: Outbox, relay: Relay) -> Iterator[Teller | None]:
    """Who tells fates back, where that is configured."""
    found = settings.posts[name].fates
    if found is None:
        yield None
        return
    receiver = receiver_of(found, settings.post_party(name).urn, now_utc)
    outbox.tellings.watch()
    try:
        yield Teller(outbox.tellings, receiver, now_utc, lambda: relay.holds)
    finally:
        receiver.close()


@contextmanager
def opened_outbox(settings: Settings, name: str, *, keeps_copy: bool = False) -> Iterator[Outbox]:
    """Open a post's outbox, with the code lists that acceptance checks against, and close it at the end."""
    apply_lists(settings.code_lists)
    outbox = open_outbox(settings, name, keeps_copy=keeps_copy)
    try:
        yield outbox
        mark(settings, name, outbox)
    finally:
        outbox.close()


@contextmanager
def relay_of(settings: Settings, name: str, outbox: Outbox) -> Iterator[tuple[Relay, TrustStore]]:
    """Put a post's relay together: its key, whom it believes, and a connection to each of our broker's lanes, closed at the end."""
    post, party = settings.posts[name], settings.post_party(name)
    identity = identity_of(settings, name)
    trust = TrustStore.of(settings)
    with ExitStack() as connections:
        brokers = {}
        for lane in settings.lanes:
            brokers[lane] = connect(settings, lane, party, post)
            connections.callback(brokers[lane].close)
        yield Relay(settings, party, outbox, identity, trust, brokers), trust


def reader_of_post(settings: Settings, name: str) -> Reader:
    """Make the reader of a post's own files; SettingsError where its settings name a format that is not installed."""
    return reader_of(settings.posts[name].reading, administration=settings.country, time_zone=settings.time_zone)


def identity_of(settings: Settings, name: str) -> Identity:
    """Load a post's key and certificate; SettingsError where they are not a pair, or another unit's."""
    return own_identity(settings.post_party(name), settings.posts[name])


def relay_when_free(relay: Relay, stop: threading.Event) -> None:
    """Relay until `stop` is set; while another process relays this outbox, wait for it to end."""
    told = False
    while not stop.is_set():
        try:
            relay.run(stop)
        except UnavailableError as error:
            if error.code not in {"outbox-leased", "outbox-lease-lost"}:
                raise
            if not told:
                log.warning("relay.waiting", code=error.code, reason=str(error))
            told = True
            stop.wait(FREE_AGAIN_SECONDS)
