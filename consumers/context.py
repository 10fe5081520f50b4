"""What a handler is given: `Batch`, the validated events, and `Context`, the transaction and the ways to decline an event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from consumers.surprises import Surprise
from schemas.errors import Problem, UsageError, shown
from schemas.fates import Fate
from schemas.limits import PROBLEMS


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedEvent:
    """One validated event. `data` is the pydantic model of its type; `raw` are the signed bytes; `source` is the post's URN.

    `content` is the SHA-256 over the data in canonical JSON: equal for the same content in another event.
    `released`: it was held, and a person has decided that it is to be loaded although a rule would hold it again.
    """

    id: str
    type: str
    source: str
    destination: str
    epoch: str
    sequence: int
    reference: str
    version: int
    accepted_at_utc: datetime
    received_at_utc: datetime
    purpose: str
    legal_basis: str
    digest: bytes = field(repr=False)
    content: bytes = field(repr=False)
    raw: bytes = field(repr=False)
    data: Any = field(repr=False)
    released: bool = False


@dataclass(frozen=True, slots=True)
class Declined:
    """What was decided against an event: REFUSED or HELD, and why; `surprise` where the handler raised instead of deciding.

    `suspension`: the one that holds it, where nothing was decided at all.
    """

    fate: Fate
    problems: tuple[Problem, ...]
    surprise: Surprise | None = None
    suspension: str | None = None


class Batch(Sequence[ReceivedEvent]):
    """The events of one handler call, in the order in which they are to be written. `accepted`: those not declined so far."""

    def __init__(self, events: Sequence[ReceivedEvent], declined: dict[str, Declined]) -> None:
        self._events = tuple(events)
        self._declined = declined

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[ReceivedEvent]:
        return iter(self._events)

    def __getitem__(self, index: Any) -> Any:
        return self._events[index]

    def __contains__(self, event: object) -> bool:
        return event in self._events

    @property
    def accepted(self) -> list[ReceivedEvent]:
        """The events that have been neither refused nor held so far."""
        return [event for event in self._events if event.id not in self._declined]


class Context:
    """The database transaction of this batch, and the two ways to say no to an event.

    `transaction` is an SQLAlchemy Connection inside a transaction that also writes the inbox rows: the framework commits. What is
    raised is a surprise: the framework finds the event that causes it and holds it; the others load.
    """

    def __init__(self, transaction: Connection, events: Sequence[ReceivedEvent]) -> None:
        self.transaction = transaction
        self.declined: dict[str, Declined] = {}
        self.batch = Batch(events, self.declined)
        self._ids = {event.id for event in events}
        self._released = {event.id for event in events if event.released}

    def refuse(self, event: ReceivedEvent, code: str, text: str, *, field: str | None = None, value: object = None) -> None:
        """Refuse an event for its content, for good; the sender learns code, text and field. Several refusals of one event add up."""
        self._decline(event, Fate.REFUSED, _problem(code, text, field, value))

    def hold(self, event: ReceivedEvent, code: str, text: str, *, field: str | None = None, value: object = None) -> None:
        """Hold an event that cannot be finished now: it is tried again at growing times, then left to a person. A refusal goes before.

        Without effect on an event that a person has released: it loads, unless it is refused or the handler raises.
        """
        if event.id in self._released:
            return
        self._decline(event, Fate.HELD, _problem(code, text, field, value))

    def _decline(self, event: ReceivedEvent, fate: Fate, problem: Problem) -> None:
        if event.id not in self._ids:
            raise UsageError("event-foreign", "only an event of this batch can be refused or held", value=event.id)
        former = self.declined.get(event.id)
        if former is None or (fate is Fate.REFUSED and former.fate is Fate.HELD):
            self.declined[event.id] = Declined(fate, (problem,))
        elif former.fate is fate and len(former.problems) < PROBLEMS:
            self.declined[event.id] = Declined(fate, (*former.problems, problem))


def _problem(code: str, text: str, field: str | None, value: object) -> Problem:
    return Problem(code=code, text=text[:500], field=field, value=None if value is None else shown(value))
