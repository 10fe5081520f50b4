"""What a fault is, as a value: what happens, and its control, the same with a defence switched off. Nothing runs here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.scene import Scene

# The scene's daemons. Faults strike what lies between the first two; the other direction is under load beside it.
POST, HOUSE = "tj-panji-poyon", "af-customs"
OTHER_POST, OTHER_HOUSE = "af-sher-khan-bandar", "tj-customs"
SENDING, RECEIVING = "tj", "af"  # the brokers of that direction

Run = Callable[["Scene"], None]
Around = Callable[["Scene"], AbstractContextManager[None]]


class Breach(StrEnum):
    """How an event shows that the exchange broke its promise."""

    LOST = "lost"  # its sender has finished with it, or never kept it, and the receiver knows nothing of it
    TWICE = "twice"  # its rows were written more than once
    UNSETTLED = "unsettled"  # no final answer came, and none was to come
    MISJUDGED = "misjudged"  # it has another fate than its content deserves, or the two sides tell different ones
    OVER = "over"  # what the fault measured is past its bound


@dataclass(frozen=True, slots=True)
class Control:
    """The same fault with a defence switched off, and how it is to break then.

    `without` names the defences (`weakened`) that each daemon does without; `around` switches off what is no daemon's own.
    """

    says: str
    breaks: Breach
    without: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    around: Around | None = None
    ruins: bool = False  # what it leaves is of no use to anybody: the laboratory is made anew after it


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: what happens while both directions are under load.

    `run` returns when the fault is over; recovery is measured from there. `control` is text where there is none: the reason.
    """

    name: str
    does: str
    run: Run
    control: Control | str
    short: bool = False  # in the form that CI runs
    long: bool = False  # in the long form only
    root: bool = False  # needs root: namespaces and mounts
    soak: bool = False  # may strike in the random soak, where other faults went before
    patience_seconds: float = 60.0  # how long it may take until all is settled
