"""The families of attacks, in the order in which they run, and how much each tries in the three forms of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass

from deploy.lab import postgresql
from deploy.lab.laboratory import Database
from tests.attacks.inbox.floods import attack_with_floods
from tests.attacks.inbox.records import attack_records
from tests.attacks.live.answers import attack_with_answers
from tests.attacks.live.doors import attack_doors
from tests.attacks.live.evidence import attack_evidence
from tests.attacks.live.ground import Ground, new_ground
from tests.attacks.live.replays import attack_with_replays
from tests.attacks.live.rights import attack_rights
from tests.attacks.live.secrets import attack_secrets
from tests.attacks.live.texts import attack_with_texts
from tests.attacks.live.trust import attack_trust
from tests.attacks.opening.certificates import attack_with_certificates
from tests.attacks.opening.encrypted import attack_encrypted
from tests.attacks.opening.limits import attack_limits
from tests.attacks.opening.run import attack_opening
from tests.attacks.rows import Row


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is tried: changed bundles, how often each of the enumerated, messages of a flood, texts; and on which database."""

    bundles: int
    times: int
    flood: int
    texts: int
    postgresql: bool = True


SHORT = Scale(bundles=60_000, times=3, flood=1_000, texts=800, postgresql=False)  # what CI runs
USUAL = Scale(bundles=220_000, times=10, flood=5_000, texts=2_500)
LONG = Scale(bundles=1_000_000, times=100, flood=50_000, texts=10_000)


class Run:
    """One run: how much is tried, the seed, and the laboratory, started when a family asks for it."""

    def __init__(self, scale: Scale, seed: int, tell: Callable[[str], None]) -> None:
        self.scale = scale
        self.seed = seed
        self._tell = tell
        self._open = ExitStack()
        self._ground: Ground | None = None

    @property
    def ground(self) -> Ground:
        """The running system, one for all families."""
        if self._ground is None:
            self._tell("two administrations with all daemons, and some trade")
            database: Database = "postgresql" if postgresql.installed() and self.scale.postgresql else "sqlite"
            self._ground = self._open.enter_context(new_ground(database))
        return self._ground

    def close(self) -> None:
        """End what was started."""
        self._open.close()


@dataclass(frozen=True, slots=True)
class Family:
    """Attacks of one kind: `run` gives a row for each."""

    name: str
    about: str
    run: Callable[[Run], Iterable[Row]]


FAMILIES: tuple[Family, ...] = (
    Family(
        "opening",
        "changed and forged bundles by the hundred thousand, through the opening code of the house and the post",
        lambda run: attack_opening(run.scale.bundles, run.seed),
    ),
    Family(
        "certificates",
        "certificates that must not speak, and revocations that must not be forgotten",
        lambda run: attack_with_certificates(run.scale.times),
    ),
    Family(
        "encrypted",
        "data encrypted to a house, changed on its way and by its sender",
        lambda run: attack_encrypted(run.scale.flood * 2, run.seed),
    ),
    Family("limits", "each limit of the protocol, one below it, on it, and one past it", lambda _: attack_limits()),
    Family(
        "inbox",
        "what came before, comes again with other content, or floods: into a house's real records",
        lambda run: (*attack_records(run.scale.times, run.seed), *attack_with_floods(run.scale.flood, run.seed)),
    ),
    Family(
        "trust",
        "signers that must not be believed, over the line, into the running system",
        lambda run: attack_trust(run.ground, run.scale.times, run.seed),
    ),
    Family(
        "replays",
        "what crossed, sent again to everywhere; messages that no client makes; bodies past the limit",
        lambda run: attack_with_replays(run.ground, run.scale.times, run.seed),
    ),
    Family(
        "answers",
        "receipts, beacons, CRLs, closings, recoveries and withdrawals by those who may not give them",
        lambda run: attack_with_answers(run.ground, run.scale.times),
    ),
    Family(
        "rights",
        "who gets into a broker at all, and what its users may not do there",
        lambda run: (*attack_doors(run.ground), *attack_rights(run.ground)),
    ),
    Family(
        "texts",
        "SQL, paths, markup and terminal escapes in every text field",
        lambda run: attack_with_texts(run.ground, run.scale.texts, run.seed),
    ),
    Family("secrets", "private keys, passwords and what declarations say, in any log", lambda run: attack_secrets(run.ground)),
    Family(
        "evidence",
        "evidence files tampered with by strangers and by their exporter; the audit trail",
        lambda run: attack_evidence(run.ground, run.scale.times, run.seed),
    ),
)
