"""Relaying without a daemon: runs the post's relay for as long as these events need it, or leaves it to the daemon that holds the lease."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from broker.outbox.store import Outbox
from broker.outbox.values import EventFate
from broker.settings.model import Settings
from producers.post import relay_of, relay_when_free
from producers.sending import Sent

POLL_SECONDS = 0.1


def relay_once(
    settings: Settings, name: str, outbox: Outbox, sent: Sequence[Sent], *, timeout_seconds: float, wait: bool
) -> tuple[dict[str, EventFate], bool]:
    """Relay until our broker has confirmed these events or, with `wait`, each is answered; tell their fates, and whether it was in time.

    The relay stands back where another process holds the outbox's lease: then that one relays, and here the outbox is only looked at.
    """
    ids = [one.event_id for one in sent if one.event_id]
    if not ids:
        return {}, True
    until = time.monotonic() + timeout_seconds
    with ExitStack() as running:
        relays = False
        while True:
            fates = {fate.event_id: fate for fate in outbox.fate_of(ids)}
            left = [event_id for event_id in ids if not (_answered if wait else _confirmed)(fates.get(event_id))]
            if not left:
                return fates, True
            if time.monotonic() >= until or outbox.held_back(left) >= set(left):  # what is suspended leaves when that ends
                return fates, False
            if not relays and outbox.holder() is None:
                running.enter_context(relaying(settings, name, outbox))
                relays = True
            time.sleep(POLL_SECONDS)


@contextmanager
def relaying(settings: Settings, name: str, outbox: Outbox) -> Iterator[None]:
    """Run a post's relay in a thread of its own, with connections of its own, for as long as the context lasts."""
    stop = threading.Event()
    with relay_of(settings, name, outbox) as (relay, _):
        thread = threading.Thread(target=relay_when_free, args=(relay, stop), name="relay")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            relay.wake()
            thread.join()


def _answered(fate: EventFate | None) -> bool:
    return fate is not None and bool(fate.fate or fate.answered_fate)


def _confirmed(fate: EventFate | None) -> bool:
    return fate is not None and (fate.settled or fate.relayed_at_utc is not None)
