"""The seam of telling back: what a way to the national system offers, and what can become of a telling there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.outbox.telling import Telling


@dataclass(frozen=True, slots=True)
class Taken:
    """It was taken."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """It was not, and is told again later. `away`: it is not this telling's fault: nothing at all is taken at the moment.

    `stopped`: nothing of ours is wanted there any more.
    """

    because: str
    away: bool = False
    stopped: bool = False
    wait_seconds: float | None = None


Reply = Taken | NotTaken


class Receiver(Protocol):
    """A way to the national system. Used by one thread."""

    @property
    def at_once(self) -> int:
        """How many tellings it takes at once."""

    def tell(self, tellings: Sequence[Telling]) -> list[Reply]:
        """Tell these, of different references, and give for each what became of it. What was taken is durable over there."""

    def close(self) -> None:
        """Let go what it holds."""
