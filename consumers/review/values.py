"""The words of orders: what is decided about, what may be decided, how far it is, and what became of each item."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What an order is about; its value is the table's name."""

    HELD = "held"
    PARKED = "parked"


class Action(StrEnum):
    """What is to be done with each item. Only what is held can be released: what is parked is never let in past a check."""

    REPLAY = "replay"
    RELEASE = "release"
    DISCARD = "discard"

    @property
    def past(self) -> str:
        """As the audit trail says it."""
        return f"{self.value}d" if self.value.endswith("e") else f"{self.value}ed"


class State(StrEnum):
    """How far an order is."""

    WAITING = "waiting"  # for a second person
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Outcome(StrEnum):
    """What became of one item."""

    LOADED = "loaded"
    REFUSED = "refused"
    HELD = "held"  # tried, and held again
    OPENED = "opened"  # a parked message was opened and taken in
    PARKED = "parked"  # tried, and not to be opened still
    CLOSED = "closed"  # a parked row was discarded
    GONE = "gone"  # nothing was left to do when its turn came
    CHANGED = "changed"  # it fails for another reason than the one that was decided about
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    def is_wanted(self, action: Action) -> bool:
        """Whether it is what the order was made for; that nothing was left to do is no harm."""
        if self is Outcome.GONE:
            return True
        return self in ((Outcome.REFUSED, Outcome.CLOSED) if action is Action.DISCARD else (Outcome.LOADED, Outcome.OPENED))


@dataclass(frozen=True, slots=True)
class Chosen:
    """One item as it was when it was chosen: a held event's id or a parked row's digest in hexadecimal, its queue, why it waits."""

    key: str
    queue: str
    code: str


@dataclass(frozen=True, slots=True)
class Order:
    """One decision about a frozen set. Logins as `broker.audit.actor` gives them; `expires_at_utc` only where a second person is needed."""

    number: int
    kind: Kind
    action: Action
    reason: str
    chosen: str
    state: State
    ordered_by: str
    ordered_at_utc: datetime
    expires_at_utc: datetime | None
    approved_by: str | None
    approved_at_utc: datetime | None
    finished_at_utc: datetime | None

    def is_over(self, now_utc: datetime) -> bool:
        """Whether it waited for a second person in vain."""
        return self.state is State.WAITING and self.expires_at_utc is not None and self.expires_at_utc <= now_utc


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an order; `outcome` None while it is not done."""

    key: str
    queue: str
    code: str
    outcome: Outcome | None
    outcome_code: str | None
    done_at_utc: datetime | None
    begun_at_utc: datetime | None = None
