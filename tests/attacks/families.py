"""The families of attacks, in the order in which they run, and how much each tries in the three forms of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.attacks.inbox.floods import attack_with_floods
from tests.attacks.inbox.records import attack_records
from tests.attacks.opening.certificates import attack_with_certificates
from tests.attacks.opening.limits import attack_limits
from tests.attacks.opening.run import attack_opening
from tests.attacks.rows import Row


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is tried: changed bundles through the opening code, how often each of the enumerated, messages of a flood."""

    bundles: int
    times: int
    flood: int


SHORT = Scale(bundles=60_000, times=3, flood=1_000)  # what CI runs
USUAL = Scale(bundles=220_000, times=10, flood=5_000)
LONG = Scale(bundles=1_000_000, times=100, flood=50_000)


@dataclass(frozen=True, slots=True)
class Family:
    """Attacks of one kind: `run` gives a row for each."""

    name: str
    about: str
    run: Callable[[Scale, int], Iterable[Row]]


FAMILIES: tuple[Family, ...] = (
    Family(
        "opening",
        "changed and forged bundles by the hundred thousand, through the opening code of the house and the post",
        lambda scale, seed: attack_opening(scale.bundles, seed),
    ),
    Family(
        "certificates",
        "certificates that must not speak, and revocations that must not be forgotten",
        lambda scale, seed: attack_with_certificates(scale.times),
    ),
    Family("limits", "each limit of the protocol, one below it, on it, and one past it", lambda scale, seed: attack_limits()),
    Family(
        "inbox",
        "what came before, comes again with other content, or floods: into a house's real records",
        lambda scale, seed: (*attack_records(scale.times, seed), *attack_with_floods(scale.flood, seed)),
    ),
)
