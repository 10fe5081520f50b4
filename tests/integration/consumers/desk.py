"""The house's control worker over the broker in memory, and a post that says control events to it and hears what comes back."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from broker.bundle.open import Expected, OpenEvent, open_message
from broker.bundle.pack import Route, control_event, pack
from broker.memory import MemoryExchange
from broker.ports import Message
from broker.trust.anchors import TrustStore
from broker.trust.keys import Signer
from consumers.clock import Clock, now_utc
from consumers.control import ControlWorker
from schemas.event import digest_of, utc_text
from schemas.names import EventType
from tests.integration.consumers.frontier import HOUSE, Frontier, Post


class ControlDesk:
    """One lane: what the post says reaches the control worker in `work`, and `heard` gives what that answered."""

    def __init__(self, engine: Engine, frontier: Frontier, post: Post, clock: Clock = now_utc) -> None:
        self.frontier = frontier
        self.post = post
        here, self._there = MemoryExchange(), MemoryExchange()
        here.federate(self._there)
        here.declare(HOUSE.unit, f"{HOUSE.unit}.#")
        self._there.declare(post.party.unit, f"{post.party.unit}.#")
        self._here = here
        self._listening = self._there.broker().subscribe(post.party.unit, 1_000)
        self._trust = TrustStore({"af": frontier.afghan.anchor}, {})
        self.signer = Signer(frontier.house_identity)
        self.worker = ControlWorker(
            engine=engine,
            trust=frontier.trust,
            expected=frontier.expected,
            signer=self.signer,
            brokers={"tj": here.broker()},
            stop=threading.Event(),
            clock=clock,
        )
        self.worker.open()

    def say(self, event_type: EventType, data: Mapping[str, Any]) -> bytes:
        """Let the post say something; its exact bytes."""
        raw = control_event(
            event_type.value,
            self.post.party,
            HOUSE,
            environment="test",
            purpose="exchange-control",
            legal_basis="protocol",
            subject="a control event",
            data=data,
            now=datetime.now(UTC),
        )
        self.repeat(event_type, raw)
        return raw

    def repeat(self, event_type: EventType, raw: bytes) -> None:
        """Let the same bytes come, signed afresh."""
        route = Route(self.post.party, HOUSE, event_type.value)
        self._here.deliver(pack(route, [raw], [digest_of(raw)], self.post.identity, datetime.now(UTC)))

    def deliver(self, message: Message) -> None:
        """Let any message come."""
        self._here.deliver(message)

    def beacon(self, mark: int, *, ahead: timedelta = timedelta(), **more: Any) -> None:
        """Let the post send a beacon, by a clock that may be ahead."""
        self.say(EventType.BEACON, {"mark": mark, "sent_at": utc_text(datetime.now(UTC) + ahead), **more})

    def heard(self) -> list[OpenEvent]:
        """Let the worker do what is there, and give what came back to the post."""
        while self.worker.turn():
            pass
        events: list[OpenEvent] = []
        for delivery in self._listening.take(1_000, 0):
            events += open_message(delivery.message, self._trust, Expected("af", self.post.party, "test"), datetime.now(UTC)).events
            self._listening.ack([delivery])
        return events
