"""The post's daemon, put together: the watched directory into the outbox on one thread, the relay on another, trust reloaded beside them.

What each part does stands in its own place: `sources.directory`, `intake`, `broker.relay`, `broker.trust`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import structlog

from broker.amqp import connect
from broker.daemon import supervise
from broker.outbox.store import Outbox
from broker.relay.relay import Relay
from broker.settings.code_lists import apply_lists
from broker.settings.model import KeyPair, Settings
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity
from producers.formats.registry import load_formats
from producers.intake import Intake
from producers.life import open_outbox
from producers.sources.directory import WatchedDirectory, watch
from schemas.errors import SettingsError, UnavailableError

RELOAD_SECONDS = 1.0
FREE_AGAIN_SECONDS = 0.5

log = structlog.get_logger()


def run_post(settings: Settings, name: str, stop: threading.Event) -> None:
    """Run the post until `stop` is set: the batch in hand is finished, then everything is closed.

    SettingsError at the start where settings, keys or the outbox are wrong; what goes wrong later is logged and tried again.
    """
    party = settings.post_party(name)
    with ExitStack() as opened:
        outbox = opened.enter_context(opened_outbox(settings, name))
        intake = Intake(settings, party, outbox)
        directory = WatchedDirectory(settings.posts[name].watch, intake, load_formats())
        relay, trust = opened.enter_context(relay_of(settings, name, outbox))
        log.info("post.started", post=party.urn, epoch=outbox.epoch, watch=str(settings.posts[name].watch))
        supervise(
            {
                "intake": lambda: watch(directory, stop, relay.wake),
                "relay": lambda: relay_when_free(relay, stop),
                "trust": lambda: _keep_fresh(relay, trust, settings, name, stop),
            },
            stop,
        )
    log.info("post.stopped", post=party.urn)


@contextmanager
def opened_outbox(settings: Settings, name: str) -> Iterator[Outbox]:
    """Open a post's outbox, with the code lists that acceptance checks against, and close it at the end."""
    apply_lists(settings.code_lists)
    outbox = open_outbox(settings, name)
    try:
        yield outbox
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


def identity_of(settings: Settings, name: str) -> Identity:
    """Load a post's key and certificate; SettingsError where they are not a pair, or another unit's."""
    post, party = settings.posts[name], settings.post_party(name)
    identity = Identity.load(post.key, post.certificate)
    if identity.party != party:
        text = f"the certificate speaks for another unit than {party.urn}: issue one with 'panj pki issue --unit {name}'"
        raise SettingsError("certificate-name", text, field=str(post.certificate), value=identity.urn)
    return identity


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


def _keep_fresh(relay: Relay, trust: TrustStore, settings: Settings, name: str, stop: threading.Event) -> None:
    """Take up changed anchors and CRLs, and our own renewed certificate, without a restart."""
    pair = settings.posts[name]
    known = _marks_of(pair)
    while not stop.wait(RELOAD_SECONDS):
        trust.reload()
        if (marks := _marks_of(pair)) == known:
            continue
        known = marks
        try:
            relay.identity = identity_of(settings, name)
        except SettingsError as error:  # half renewed, or wrong: the pair that we have goes on signing
            log.warning("certificate.unusable", code=error.code, reason=str(error))
        else:
            log.info("certificate.renewed", not_after=relay.identity.not_after_utc.isoformat(), fingerprint=relay.identity.fingerprint)


def _marks_of(pair: KeyPair) -> list[tuple[int, int] | None]:
    marks: list[tuple[int, int] | None] = []
    for path in (pair.key, pair.certificate):
        try:
            found = path.stat()
            marks.append((found.st_ino, found.st_mtime_ns))
        except OSError:
            marks.append(None)
    return marks
