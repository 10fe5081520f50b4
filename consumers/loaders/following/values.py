"""What a follower is given and what it answers, as values; and the seam that each kind implements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sqlalchemy import Connection

from consumers.context import ReceivedEvent
from schemas.declarations import Declaration, MessageFunction
from schemas.errors import PanjError, Problem


class Hindrance(PanjError):
    """What keeps a follower from going on at all, such as a folder that is away: told, and tried again at growing times.

    Not an UnavailableError: those are the house's database's, and waited for without a word to anybody.
    """

    exit_code = 3


class Surprise(Hindrance):
    """What a kind did not foresee: one event of the batch may be the cause, and is found by taking them one by one."""


class Outcome(StrEnum):
    """What became of an event at a follower."""

    WRITTEN = "written"
    NOTED = "noted"  # told beside, for people: the national system has no form for it
    SKIPPED = "skipped"  # the settings say so
    SUPERSEDED = "superseded"  # a later version was loaded before
    KNOWN = "known"  # the same version was done before, under another event's id
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Todo:
    """An event to be carried on. `highest` is the highest version of its declaration that is loaded and released for the same purpose."""

    event: ReceivedEvent
    highest: int

    @property
    def superseded(self) -> bool:
        """Whether a later version is loaded already."""
        return self.event.version < self.highest

    @property
    def cancels(self) -> bool:
        """Whether it is a cancellation."""
        return isinstance(self.event.data, Declaration) and self.event.data.message_function is MessageFunction.CANCELLATION


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one event: `detail` says where it was written or why it was not; `problem` where it failed."""

    event_id: str
    outcome: Outcome
    detail: str | None = None
    problem: Problem | None = field(default=None)

    @classmethod
    def failed(cls, event_id: str, problem: Problem) -> Done:
        """It could not be written, and why."""
        return cls(event_id, Outcome.FAILED, problem.text, problem)


class Kind(Protocol):
    """One kind of follower, opened for its settings.

    Whatever keeps it from going on at all is raised (Hindrance, SettingsError): nothing was done then. What is wrong with one event is its
    own outcome.
    """

    def write(self, connection: Connection, todos: Sequence[Todo]) -> list[Done]:
        """Carry these on, as far as it goes without being seen, within the transaction that also notes what was done; one outcome each."""

    def publish(self, done: Sequence[Done]) -> None:
        """The transaction is committed: let be seen what it wrote. Called again for what a crash left over."""

    def recover(self, connection: Connection) -> None:
        """Finish what a crash left half done, and remove what was never noted."""

    def close(self) -> None:
        """Give back what is held."""
