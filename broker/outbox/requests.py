"""Idempotency keys of requests: which body came with a key, and what was answered. Durable, so that a repeated request gets the same answer
through every crash; forgotten after a week.

A key is claimed before anything is accepted under it, and its answer is kept before it is given. Between the two a crash leaves a claim
without an answer: the same body is taken again then, which makes no second event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update

from broker.outbox.engine import one_at_a_time, writing
from broker.outbox.tables import request

KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known under a key: whether `same` is the body that it came with first, and the answer to that, where there was one."""

    same: bool
    answer: dict[str, Any] | None = None


class Requests:
    """The keys that an outbox remembers. Keys and bodies are given as SHA-256 digests; each method is one transaction."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def claim(self, key: bytes, body: bytes) -> Claim:
        """Note that this body came with this key, unless the key is known; tell what is known of it. Forgets what is old."""
        now = self._clock()
        with writing(self._engine) as connection:
            one_at_a_time(connection)
            connection.execute(delete(request).where(request.c.at_utc < now - KEPT))
            row = connection.execute(select(request).where(request.c.key == key)).first()
            if row is None:
                connection.execute(insert(request), {"key": key, "body": body, "at_utc": now})
                return Claim(same=True)
            return Claim(bytes(row.body) == body, row.answer)

    def keep_answer(self, key: bytes, answer: dict[str, Any]) -> None:
        """Keep what is answered to a claimed key."""
        with writing(self._engine) as connection:
            connection.execute(update(request).where(request.c.key == key).values(answer=answer))
