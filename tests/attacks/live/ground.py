"""The running system under attack: two administrations with all daemons, an honest trade over it, and what must be true afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from broker.trust.keys import Identity, read_certificates, read_key
from deploy.lab.administrations import Administration
from deploy.lab.laboratory import Database, Laboratory, laboratory
from schemas import examples
from schemas.names import EventType, Party
from tests.acceptance.world import World, wait_for
from tests.attacks.live.operator import Operator
from tests.attacks.live.walking import Try, of_posts, walk
from tests.attacks.rows import Row
from tests.unit.trust.certificates import Pair, make

PROBE_SECONDS = 120.0
RSS_BYTES = 800 * 1024**2  # of a daemon, whatever was sent to it
SURPRISES = (
    *('"worker.failed"', '"bundle.surprised"', '"control.surprised"', '"batch.surprised"', '"held.surprised"', '"connection.surprised"'),
    *("Traceback", "opening-surprise", "inbox-surprise"),
)


class Ground:
    """A laboratory with all its daemons."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.world = World(lab)
        self.tj, self.af = lab.tj, lab.af
        self.excused: set[bytes] = set()  # digests that may stand in a house: signed with a stolen key, or let in to show that it is seen
        self._probes = 0

    def identity(self, side: Administration, name: str) -> Identity:
        """A unit's own identity, as a thief of its key has it."""
        pki, unit = side.directory / "pki", Party(side.plan.country, name).unit
        return Identity.load(pki / f"{unit}.key", pki / f"{unit}.pem")

    def authority(self, side: Administration) -> Pair:
        """An administration's own authority, as its corrupt keeper has it."""
        return Pair(read_key(side.directory / "pki" / "ca.key"), read_certificates(side.directory / "pki" / "ca.pem")[0])

    def operator(self, side: Administration, lane: str) -> Operator:
        """The operator of a side's broker, in one lane: may publish, bind and read what he likes."""
        user = side.settings.broker.management.user
        place = side.directory / "pki" / f"{user}.pem"
        if not place.exists():
            make_client_certificate(self.authority(side), user, place)
        return Operator(self.lab.nodes[side.plan.country].amqps_port, lane, side.authority.anchor, place, place.with_suffix(".key"))

    def trade(self, count: int, seed: int) -> None:
        """Let all posts declare, and wait until all is settled."""
        for side in self.lab.sides:
            for offset, (post, office) in enumerate(side.plan.posts.items()):
                self.world.drop(side, post, examples.varied(side.plan.country, office, count, seed + offset))
        self.world.wait_quiet(180)

    def declare(self, side: Administration, number: str) -> str:
        """Have a side's first post declare an export; its reference."""
        post, office = next(iter(side.plan.posts.items()))
        self.world.drop(side, post, [(EventType.EXPORT_DECLARATION, examples.export(side.plan.country, office, number))])
        return f"{side.plan.country.upper()}/{office}/2026/{number}"

    def probe(self) -> list[str]:
        """Declare honestly, both ways, and wait for the receipts: what was sent before has been dealt with then. What failed."""
        self._probes += 1
        said = [(side, self.declare(side, f"PROBE-{self._probes:04}")) for side in self.lab.sides]
        return [failure for side, reference in said for failure in self._unsettled(side, reference)]

    def _unsettled(self, side: Administration, reference: str) -> list[str]:
        try:
            wait_for(reference, partial(self._is_loaded, side, reference), PROBE_SECONDS)
        except AssertionError:
            return [f"the honest declaration {reference} is not settled within {PROBE_SECONDS:.0f} s"]
        return []

    def _is_loaded(self, side: Administration, reference: str) -> bool:
        return of_posts(side, "SELECT fate FROM outbox WHERE reference = :reference", reference=reference) == [("LOADED",)]

    def parked(self, side: Administration) -> dict[str, int]:
        """What a house has parked: how often for which code."""
        return {code: int(times) for code, times in self.world.rows(side, "SELECT code, sum(times) FROM parked GROUP BY code")}

    @contextmanager
    def told(self, daemon: str, event: str) -> Iterator[None]:
        """Wait, after what is done within, until a daemon's log tells of an event once more."""
        log = self.lab.daemons[daemon].log
        before = log.read_text().count(event)
        yield
        wait_for(f"{daemon} tells of {event}", lambda: log.read_text().count(event) > before)

    def dead(self) -> list[str]:
        """Daemons that do not run any more."""
        return [f"the daemon {name} has ended: {daemon.log_tail(3)}" for name, daemon in self.lab.daemons.items() if not daemon.running]

    def swollen(self) -> list[str]:
        """Daemons that need more memory than anything that came should make them need."""
        sizes = {name: daemon.rss_bytes() for name, daemon in self.lab.daemons.items()}
        return [f"the daemon {name} holds {size / 1e6:,.0f} MB" for name, size in sizes.items() if size > RSS_BYTES]

    def surprises(self) -> list[str]:
        """What the daemons' logs say of surprises: messages that broke the code which opens them, threads that fell."""
        logs = (self.lab.directory / "log").glob("*.log")
        lines = ((log.stem, line) for log in logs for line in log.read_text(errors="replace").splitlines())
        return [f"{name}: {line[:300]}" for name, line in lines if any(mark in line for mark in SURPRISES)]

    def rows_after(self, family: str, tries: Sequence[Try], seen: bool | None = None) -> Iterator[Row]:
        """Wait until all was dealt with, look at everything, and give a row for each try, and one for the system itself."""
        failures = [*self.probe(), *self.dead(), *self.swollen(), *self.surprises()]
        wrongs = walk(self.world, tries, self.excused)
        for one in tries:
            yield Row(family, one.name, one.tries, len(one.wrongs), 0, seen, "", tuple(one.wrongs))
        parked = ", ".join(f"{code} {times}" for code, times in sorted(self.parked(self.af).items(), key=lambda each: -each[1])[:3])
        note = f"settling both ways; parked so far: {parked}" if not failures else ""
        yield Row(family, "afterwards: records, outboxes, daemons", 1, len(wrongs), len(failures), None, note, (*wrongs, *failures))


@contextmanager
def new_ground(database: Database) -> Iterator[Ground]:
    """A laboratory with everything running and some trade done, ended and removed afterwards."""
    with laboratory(database) as lab:
        lab.spawn_all()
        made = Ground(lab)
        made.trade(5, 100)
        yield made


def make_client_certificate(authority: Pair, name: str, place: Path) -> None:
    """What the keeper of an authority can make: a client's certificate of any common name, with its key beside it."""
    now = datetime.now(UTC)
    pair = make(name, authority, since=now - timedelta(hours=1), until=now + timedelta(days=1))
    key = pair.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    place.write_bytes(pair.pem)
    place.with_suffix(".key").touch(mode=0o600)
    place.with_suffix(".key").write_bytes(key)


def replace_file(place: Path, content: bytes) -> None:
    """Put a file in place, whole at once."""
    new = place.with_suffix(".new")
    new.write_bytes(content)
    new.replace(place)
