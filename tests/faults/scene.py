"""The scene of all faults: the laboratory with its daemons, the load, and the waiting. What a fault may do to it, it does with this."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError

from broker.outbox import migrations
from broker.outbox.engine import open_engine
from broker.topology.apply import apply_topology
from broker.topology.management import ManagementApi
from deploy.lab.administrations import Administration
from deploy.lab.laboratory import Laboratory
from deploy.lab.postgresql import PostgresNode
from deploy.lab.processes import PANJ, Daemon
from deploy.lab.rabbitmq import RabbitNode
from schemas.errors import PanjError
from tests.faults import invariants
from tests.faults.fault import HOUSE, OTHER_HOUSE, OTHER_POST, POST, RECEIVING, SENDING
from tests.faults.invariants import reading
from tests.faults.ledger import metadata
from tests.faults.load import Key, Load, Wave, Way

DAEMONS = (HOUSE, OTHER_HOUSE, POST, OTHER_POST)
POLL_SECONDS = 0.1
PER_SECOND = 25.0  # declarations each way
ALTERED = "tests.faults.altered"

_waves = itertools.count(1)


class Form(StrEnum):
    """How long the faults last: what CI runs, what a person waits for, and what a night is for."""

    SHORT = "short"
    USUAL = "usual"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Measure:
    """Something a fault measured, and the most that it may be."""

    name: str
    value: float
    bound: float


@dataclass(slots=True)
class Scene:
    """A laboratory that is struck by one fault after the other. `without`: the defences that each daemon does without at present."""

    lab: Laboratory
    form: Form
    tell: Callable[[str], None]
    wave: Wave = field(init=False)
    measures: list[Measure] = field(default_factory=list)
    without: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _load: Load | None = None

    # The parts.

    @property
    def sender(self) -> Administration:
        """The administration whose post is struck."""
        return self.lab.tj

    @property
    def receiver(self) -> Administration:
        """The administration whose house is struck."""
        return self.lab.af

    @property
    def ways(self) -> tuple[Way, Way]:
        """Both directions of the load; faults strike the first."""
        tj, af = self.lab.sides
        return Way(tj, POST.partition("-")[2], af), Way(af, OTHER_POST.partition("-")[2], tj)

    @property
    def postgres(self) -> PostgresNode:
        """The database server of both houses."""
        assert self.lab.postgres is not None
        return self.lab.postgres

    @property
    def sending_broker(self) -> RabbitNode:
        """The broker of the post that is struck."""
        return self.lab.nodes[SENDING]

    @property
    def receiving_broker(self) -> RabbitNode:
        """The broker of the house that is struck."""
        return self.lab.nodes[RECEIVING]

    def admin(self, database: str | None = None) -> psycopg.Connection[Any]:
        """A superuser's connection to the struck house's database, or to another one."""
        url = self.postgres.url(database or f"customs_{RECEIVING}").replace("+psycopg", "", 1)
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def management(self, side: Administration) -> ManagementApi:
        """The management API of one side's broker."""
        return ManagementApi(side.settings.broker.management)

    # The daemons.

    def start(self, name: str, *more: str, dying: str = "", clock: float = 0.0) -> Daemon:
        """Start one of the daemons (with `more` words to its command), without the defences that it does without at present.

        `dying` and `clock`: see `altered`.
        """
        country, _, unit = name.partition("-")
        side = self.lab.tj if country == "tj" else self.lab.af
        words = ("customs", "run") if unit == "customs" else ("post", "run", "--post", unit)
        return self.lab.spawn(side, *words, *more, name=name, through=self._through(name, dying, clock))

    def start_and_wait(self, name: str, *more: str, clock: float = 0.0) -> None:
        """Start a daemon and wait until it says that it works."""
        before = self._starts(name)
        daemon = self.start(name, *more, clock=clock)
        self.wait(f"{name} starts", lambda: self._starts(name) > before or not daemon.running)

    def _starts(self, name: str) -> int:
        log = self.lab.daemons[name].log.read_text(errors="replace")
        return log.count('"event": "post.started"') + log.count('"event": "house.started"')

    def _through(self, name: str, dying: str, clock: float) -> tuple[str, ...]:
        options = {"--without": ",".join(self.without.get(name, ())), "--dying": dying, "--clock": f"{clock:g}" if clock else ""}
        given = tuple(word for option, value in options.items() if value for word in (f"{option}={value}",))
        return (ALTERED, *given, "--") if given else (PANJ,)

    def daemon(self, name: str) -> Daemon:
        """The process of a daemon."""
        return self.lab.daemons[name]

    def kill(self, name: str) -> None:
        """End a daemon as a power cut would."""
        self.daemon(name).kill()

    def stop(self, name: str) -> int:
        """Ask a daemon to end, and give its exit code."""
        return self.daemon(name).terminate(20)

    def restart(self, name: str) -> None:
        """Ask a daemon to end, and start it again."""
        self.stop(name)
        self.start(name)

    def dies(self, name: str, point: str) -> None:
        """Have a daemon die at a point, wait until it has, and start it as it always is."""
        self.stop(name)
        daemon = self.start(name, dying=point)
        self.wait(f"{name} dies at {point}", lambda: not daemon.running, 90)
        daemon.wait(1)
        self.start(name)

    def do_without(self, without: Mapping[str, tuple[str, ...]]) -> None:
        """Start again those daemons that are to do without other defences than now."""
        changed = [name for name in DAEMONS if tuple(without.get(name, ())) != self.without.get(name, ())]
        for name in changed:
            self.stop(name)
        self.without = {name: tuple(defences) for name, defences in without.items()}
        for name in changed:
            self.start(name)

    def panj(self, side: Administration, *words: str, through: Sequence[str] = (PANJ,)) -> str:
        """Run a `panj` command of one side, as a person does; RuntimeError where it does not end well."""
        command = [sys.executable, "-m", *through, *words, "--config", str(side.config)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f"panj {' '.join(words)}: {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
        return done.stdout

    # Settings, databases and topology.

    @property
    def outbox_file(self) -> Path:
        """The file of the struck post's outbox."""
        return self.sender.directory / "var" / self.ways[0].post / "outbox.sqlite"

    def make_old(self, minutes: int) -> None:
        """Have everything that waits in the struck post's outbox been accepted so many minutes earlier; the post is stopped for it."""
        self.stop(POST)
        earlier = timedelta(minutes=minutes) // timedelta(microseconds=1)
        with sqlite3.connect(self.outbox_file) as connection:
            connection.execute("UPDATE outbox SET accepted_at_utc = accepted_at_utc - ? WHERE relayed_at_utc IS NULL", (earlier,))
        connection.close()

    def recover_post(self) -> None:
        """Have the struck post begin a new epoch, as an operator does after its outbox or its clock was set back."""
        words = ("post", "recover", "--post", self.ways[0].post, "--force", "--timeout", "60", "--reason", "a fault")
        self.panj(self.sender, *words, through=self._through(POST, "", 0.0))

    def put_in_again(self) -> None:
        """Have the struck post's directory hold again what it took, as an operator does who does not know what was lost."""
        watch = self.ways[0].watch
        for path in (watch / "taken").rglob("*.json"):
            path.replace(watch / path.name)

    def outbox_goes_back(self, revisions: int) -> None:
        """Take the struck post's outbox back by so many revisions, as if it had been made by an older version."""
        engine = open_engine(self.sender.settings.posts[self.ways[0].post].outbox)
        try:
            migrations.downgrade(engine, f"-{revisions}")
        finally:
            engine.dispose()

    def edit(self, side: Administration, before: str, after: str) -> None:
        """Change a piece of an exchange.toml that stands there at least once."""
        text = side.config.read_text()
        assert before in text, f"{side.config} does not say {before!r}"
        side.config.write_text(text.replace(before, after))

    def apply(self, side: Administration, *, remove: bool = False) -> None:
        """Apply the topology, as an operator does; a broker that is only just up may need a second attempt."""
        for attempt in range(3):
            try:
                apply_topology(side.settings, remove=remove)
            except PanjError:
                if attempt == 2:
                    raise
                time.sleep(1)
            else:
                return

    @contextmanager
    def slow_line(self, seconds_each_way: float) -> Iterator[None]:
        """Have everything take so long over the line, until the end."""
        for line in self.lab.lines.values():
            line.delay(seconds_each_way)
        try:
            yield
        finally:
            for line in self.lab.lines.values():
                line.delay(0)

    # The load and the waiting.

    @contextmanager
    def under_load(self, per_second: float = PER_SECOND) -> Iterator[None]:
        """Drop declarations both ways, in a new wave, until the end; begins once some of them have gone the whole way."""
        self.wave = Wave(next(_waves), self.ways)
        self.measures = []
        self._load = Load(self.wave, per_second)
        try:
            yield
        finally:
            load, self._load = self._load, None
            load.stop()

    def pace(self, per_second: float) -> None:
        """Have the load go on at another pace (declarations a second, each way); 0 for none."""
        assert self._load is not None
        self._load.per_second = per_second

    def go_on(self, short: float, usual: float | None = None, long: float | None = None) -> None:
        """Let the load go on for so many seconds, by the form of the run."""
        seconds = {Form.SHORT: short, Form.USUAL: usual or short, Form.LONG: long or usual or short}[self.form]
        time.sleep(seconds)

    def times(self, short: int, usual: int | None = None, long: int | None = None) -> range:
        """So many times, by the form of the run."""
        return range({Form.SHORT: short, Form.USUAL: usual or short, Form.LONG: long or usual or short}[self.form])

    def wait(self, what: str, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until `done()`; TimeoutError with what was waited for. A database that is away is not done."""
        end = time.monotonic() + seconds
        while not self._asked(done):
            if time.monotonic() > end:
                gone = [name for name, daemon in self.lab.daemons.items() if not daemon.running]
                raise TimeoutError(f"not within {seconds:.0f} s: {what}" + (f" (not running: {', '.join(gone)})" if gone else ""))
            time.sleep(POLL_SECONDS)

    def _asked(self, done: Callable[[], bool]) -> bool:
        with suppress(DBAPIError, psycopg.Error, OSError):
            return done()
        return False

    def settles(self, more: int = 10, way: int = 0, seconds: float = 60.0) -> None:
        """Wait until so many more events of the wave have their answer."""
        before = self.settled(way)
        self.wait(f"{more} more events are settled", lambda: self.settled(way) >= before + more, seconds)

    def seconds_until_quiet(self, at_most: float) -> float:
        """Wait until all of the wave is finished, at most so long, and say how long that was."""
        begun = time.monotonic()
        while not self.is_quiet() and time.monotonic() - begun < at_most:
            time.sleep(POLL_SECONDS)
        return round(time.monotonic() - begun, 1)

    def settled(self, way: int = 0) -> int:
        """How many of the wave's events have their answer."""
        return invariants.settled(self.wave, way)

    def is_quiet(self) -> bool:
        """Whether everything of the wave is finished; while a database is away it is not."""
        return self._asked(lambda: self.pending() == 0)

    def pending_or_away(self) -> int:
        """How many of the wave's files and events are not finished; -1 while a database is away."""
        with suppress(DBAPIError, psycopg.Error, OSError):
            return self.pending()
        return -1

    def unfinished(self, way: int) -> set[Key]:
        """Which declarations dropped one way have no answer yet."""
        return self.wave.waiting_keys(way) | invariants.unsettled_keys(self.wave, way)

    def pending(self) -> int:
        """How many of the wave's files and events are not finished."""
        return invariants.files_waiting(self.wave) + invariants.unsettled(self.wave)

    def measure(self, name: str, value: float, bound: float) -> None:
        """Note what was measured; past its bound the row fails."""
        self.measures.append(Measure(name, value, bound))


def prepare(lab: Laboratory) -> None:
    """Give both houses the ledger's handler and its table."""
    for side in lab.sides:
        text = side.config.read_text()
        side.config.write_text(text.replace('handler = "consumers.loaders.record"', 'handler = "tests.faults.ledger"'))
        house = side.settings.house
        assert house is not None
        with reading(house.database) as connection:
            metadata.create_all(connection)
            connection.commit()
