"""Faults of the databases: the house's PostgreSQL killed, restarted, read-only, full of connections, deadlocking; the post's disk full."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from tests.faults.fault import HOUSE, POST, RECEIVING, Breach, Control, Fault
from tests.faults.scene import Scene

DATABASE = f"customs_{RECEIVING}"
# A failing batch is logged and acknowledged, and its sender does not ask again: with either defence alone nothing is lost.
CARELESS = {HOUSE: ("batch-kept",), POST: ("resends",)}


def _killed(scene: Scene) -> None:
    for _ in scene.times(2, 3, 20):
        scene.wave.drop(100)
        scene.settles(20)
        scene.postgres.kill()
        scene.go_on(1, 3, 30)
        scene.postgres.start()


@contextmanager
def _commits_unsynced(scene: Scene) -> Iterator[None]:
    """What PostgreSQL calls committed waits in its memory for up to ten seconds."""
    server = {"wal_writer_delay": "10s", "wal_writer_flush_after": "0"}
    for name, value in server.items():
        _set_server(scene, name, value)
    _set_database(scene, "synchronous_commit", "off")
    try:
        _send_everybody_away(scene)
        yield
    finally:
        _set_database(scene, "synchronous_commit", None)
        for name in server:
            _set_server(scene, name, None)


def _set_server(scene: Scene, name: str, value: str | None) -> None:
    with scene.admin("postgres") as connection:
        if value is None:
            connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(name)))
        else:
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        connection.execute("SELECT pg_reload_conf()")


def _set_database(scene: Scene, name: str, value: str | None) -> None:
    """Set something for new sessions of the struck house's database."""
    with scene.admin("postgres") as connection:
        if value is None:
            statement = sql.SQL("ALTER DATABASE {} RESET {}").format(sql.Identifier(DATABASE), sql.Identifier(name))
        else:
            names = sql.Identifier(DATABASE), sql.Identifier(name), sql.Literal(value)
            statement = sql.SQL("ALTER DATABASE {} SET {} = {}").format(*names)
        connection.execute(statement)


def _send_everybody_away(scene: Scene) -> None:
    """End all sessions in the struck house's database, so that the next ones are as it is set now."""
    with scene.admin("postgres") as connection:
        _send_away(connection)


def _send_away(connection: psycopg.Connection[object]) -> None:
    """End everybody's sessions in the struck house's database but our own."""
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    connection.execute(query, (DATABASE,))


def _restarted(scene: Scene) -> None:
    for _ in scene.times(2, 4, 20):
        scene.wave.drop(100)
        scene.settles(20)
        scene.postgres.restart()


def _read_only(scene: Scene) -> None:
    _set_database(scene, "default_transaction_read_only", "on")
    try:
        _send_everybody_away(scene)
        scene.go_on(3, 6, 60)
    finally:
        _set_database(scene, "default_transaction_read_only", None)
        _send_everybody_away(scene)


def _out_of_connections(scene: Scene) -> None:
    with ExitStack() as taken:
        first = taken.enter_context(scene.admin())
        with contextlib.suppress(psycopg.OperationalError):  # as many as there are
            while True:
                taken.enter_context(scene.admin())
        _send_away(first)
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                taken.enter_context(scene.admin())
        scene.go_on(3, 6, 60)


def _deadlocks(scene: Scene) -> None:
    """Somebody else's program locks the house's tables in the other order; PostgreSQL finds the circle, and picks the house."""
    _set_database(scene, "deadlock_timeout", "20ms")
    stop = threading.Event()
    try:
        _send_everybody_away(scene)
        with ThreadPoolExecutor(1) as thread, scene.admin("postgres") as connection:
            before = _deadlocks_so_far(connection)
            other = thread.submit(_lock_crosswise, scene, stop)
            try:
                while _deadlocks_so_far(connection) < before + len(scene.times(6, 10, 60)):
                    scene.go_on(0.5)
                    if other.done():
                        break
            finally:
                stop.set()
            other.result()
    finally:
        _set_database(scene, "deadlock_timeout", None)
        _send_everybody_away(scene)


def _deadlocks_so_far(connection: psycopg.Connection[object]) -> int:
    row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = %s", (DATABASE,)).fetchone()
    assert isinstance(row, tuple)
    return int(row[0])


def _lock_crosswise(scene: Scene, stop: threading.Event) -> None:
    with scene.admin() as connection:
        # Who waits longest without looking for the circle is not the one who is thrown out of it.
        connection.execute("SET deadlock_timeout = '10s'")
        while not stop.wait(0.01):
            with contextlib.suppress(psycopg.errors.DeadlockDetected), connection.transaction():
                connection.execute("LOCK TABLE ledger IN EXCLUSIVE MODE")
                connection.execute("LOCK TABLE declaration IN EXCLUSIVE MODE")


def _post_disk_full(scene: Scene) -> None:
    """The outbox lies on a small disk that somebody else's file fills: first into the reserve, then to the last byte."""
    with _small_disk(scene) as disk:
        scene.settles(5)
        _fill(disk / "filler")
        scene.wave.drop(200)
        scene.go_on(3, 6, 60)
        (disk / "filler").unlink()
        scene.settles(20)


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"\0" * 65536)
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as stream:
        while True:
            stream.write(b"\0")


@contextmanager
def _small_disk(scene: Scene) -> Iterator[Path]:
    """Move the struck post's outbox to a disk of its own that has little more than what acceptance leaves free, and back at the end."""
    disk, home = scene.lab.directory / "small-disk", scene.outbox_file.parent
    disk.mkdir(exist_ok=True)
    held = sum(path.stat().st_size for path in home.glob("outbox.sqlite*")) // 1024**2
    size = scene.sender.settings.relay.outbox_min_free_mb + held + 32
    usual, small = f"sqlite:///var/{home.name}/outbox.sqlite", f"sqlite:///{disk}/outbox.sqlite"
    with ExitStack() as undo:
        _system("/usr/bin/mount", "-t", "tmpfs", "-o", f"size={size}m,mode=700", "panj-faults", str(disk))
        undo.callback(_system, "/usr/bin/umount", str(disk))
        scene.stop(POST)
        undo.callback(scene.start, POST)
        _move_outbox(home, disk)
        undo.callback(_move_outbox, disk, home)
        scene.edit(scene.sender, usual, small)
        undo.callback(scene.edit, scene.sender, small, usual)
        scene.start(POST)
        undo.callback(scene.stop, POST)
        undo.callback((disk / "filler").unlink, missing_ok=True)
        yield disk


def _system(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _move_outbox(source: Path, target: Path) -> None:
    for path in source.glob("outbox.sqlite*"):
        (target / path.name).write_bytes(path.read_bytes())
        path.unlink()


FAULTS = (
    Fault(
        "postgresql-killed",
        "kill -9 of the house's PostgreSQL, with all its processes",
        _killed,
        Control("commits wait in PostgreSQL's memory", Breach.LOST, around=_commits_unsynced),
        short=True,
        soak=True,
    ),
    Fault(
        "postgresql-restarted",
        "the house's PostgreSQL is restarted, as for an update",
        _restarted,
        Control("a batch that fails is dropped, and nothing is sent again", Breach.UNSETTLED, CARELESS),
        soak=True,
    ),
    Fault(
        "postgresql-read-only",
        "the house's database is read-only, as a standby is",
        _read_only,
        Control("a batch that fails is dropped, and nothing is sent again", Breach.UNSETTLED, CARELESS),
        soak=True,
    ),
    Fault(
        "postgresql-out-of-connections",
        "somebody else takes all connections of the house's PostgreSQL",
        _out_of_connections,
        Control("a batch that fails is dropped, and nothing is sent again", Breach.UNSETTLED, CARELESS),
        soak=True,
    ),
    Fault(
        "postgresql-deadlocks",
        "somebody else locks the house's tables in another order, and PostgreSQL picks the house as its victim",
        _deadlocks,
        Control("the database's trouble is taken for the events'", Breach.MISJUDGED, {HOUSE: ("batch-apart",)}),
        short=True,
        soak=True,
    ),
    Fault(
        "post-disk-full",
        "the disk of the post's outbox is full, then somebody makes room",
        _post_disk_full,
        Control("files are put aside before they are accepted", Breach.LOST, {POST: ("accept-first",)}),
        root=True,
    ),
)
