"""A private PostgreSQL server: a cluster of its own in one directory, on loopback only, with fsync on. It ends with its owner.

Never a system service. PostgreSQL refuses to run as root; there it runs as the package's user `postgres`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.lab.ports import LOOPBACK, free_port
from deploy.lab.processes import Process, User, wait_until_gone, wait_until_ready
from schemas.errors import UnavailableError

SUPERUSER = "panj"
_PROGRAMS = Path("/usr/lib/postgresql")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


def installed() -> bool:
    """Say whether PostgreSQL's server is on this machine."""
    return _programs() is not None


class PostgresNode:
    """One PostgreSQL server in `directory`, with one superuser and a password of its own. About 1 s to start, 2 s the first time.

    Where it runs as another user than we, that user must be able to pass through every folder above `directory`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.start_seconds = 0.0
        self._password = secrets.token_hex(16)
        self._server: Process | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process id; 0 while it is not running."""
        return self._server.pid if self._server else 0

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        return [self._server.pid, *self._server.descendants()] if self._server else []

    @property
    def log(self) -> Path:
        """Its log file."""
        return self.directory / "postgresql.log"

    def url(self, database: str) -> str:
        """Give the SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://{SUPERUSER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def url_without_password(self, database: str, passfile: Path) -> str:
        """Write the password into `passfile` (0600) and give a URL that names the file: settings hold no secrets."""
        passfile.touch(mode=0o600)
        passfile.write_text(f"{LOOPBACK}:{self.port}:*:{SUPERUSER}:{self._password}\n")
        return f"postgresql+psycopg://{SUPERUSER}@{LOOPBACK}:{self.port}/{database}?passfile={passfile}"

    def create_database(self, name: str) -> str:
        """Make an empty database and give its URL."""
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, with those who are connected to it."""
        with self._connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def start(self) -> None:
        """Start it, on an empty cluster the first time, and wait until it answers. Raises `UnavailableError` where it does not."""
        programs = _programs()
        if programs is None:
            raise UnavailableError("lab-program-missing", 'PostgreSQL is not installed: run "make packages", or install postgresql')
        if self._server is not None:
            raise RuntimeError("the PostgreSQL node is already started")
        begun = time.monotonic()
        user = _unprivileged()
        data = self.directory / "data"
        if not data.exists():
            self._initialise(programs, data, user)
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(self.port), *_switches()]
        # The last signal is QUIT, PostgreSQL's immediate shutdown: unlike KILL it also gives back its shared memory.
        self._server = Process(command, log=self.log, environment=_environment(), user=user, last_signal=signal.SIGQUIT)
        try:
            wait_until_ready("PostgreSQL", self._server, self._ready, _START_SECONDS, [self.log])
        except BaseException:
            self.kill()
            raise
        self.start_seconds = time.monotonic() - begun

    def stop(self) -> None:
        """End it in good order within 30 s, without waiting for its clients (PostgreSQL's fast shutdown); nothing where it is ended."""
        server, self._server = self._server, None
        if server:
            server.terminate(_STOP_SECONDS, signal.SIGINT)
        self._release_shared_memory()

    def kill(self) -> None:
        """End it and all its processes with SIGKILL, as a power cut would. Its files stay: `start` recovers from its log."""
        server, self._server = self._server, None
        if server:
            others = server.descendants()
            server.kill()
            for pid in others:
                _kill(pid)
            # Until the last one is gone a new server refuses to start on the same files.
            wait_until_gone(others, 10)

    def restart(self) -> None:
        """Stop it and start it again, on the same port."""
        self.stop()
        self.start()

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=LOOPBACK, port=self.port, user=SUPERUSER, password=self._password, dbname="postgres", connect_timeout=5, autocommit=True
        )

    def _ready(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self, programs: Path, data: Path, user: User | None) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = self.directory / "password"
        password.touch(mode=0o600)
        password.write_text(self._password)
        if user:
            for path in (self.directory, password):
                os.chown(path, user.uid, user.gid)
        command = [str(programs / "initdb"), "-D", str(data), "-U", SUPERUSER, f"--pwfile={password}", "--auth=scram-sha-256"]
        made = subprocess.run(
            [*command, "--encoding=UTF8", "--no-locale", "--no-sync"],
            check=False,
            capture_output=True,
            text=True,
            env=_environment(),
            cwd="/",
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
        password.unlink()
        if made.returncode:
            said = made.stderr.strip()[-350:]
            raise UnavailableError(
                "lab-node-failed", f"PostgreSQL cannot make a cluster in {data} (may its user pass every folder?): {said}"
            )

    def _release_shared_memory(self) -> None:
        """After a SIGKILL a few bytes of System V shared memory stay; the last number in postmaster.pid's line 7 names them."""
        lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines() if self._left_something() else []
        if len(lines) > 6 and len(lines[6].split()) == 2:
            subprocess.run(["/usr/bin/ipcrm", "-m", lines[6].split()[1]], check=False, capture_output=True)

    def _left_something(self) -> bool:
        return (self.directory / "data" / "postmaster.pid").exists()


def _switches() -> list[str]:
    settings = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",  # a socket's path may have 107 characters only; loopback and a password do for all
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "100",
        # Else PostgreSQL quotes in its log the row that it refuses, and the statement: what declarations say.
        "log_error_verbosity": "terse",
        "log_min_error_statement": "panic",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _environment() -> dict[str, str]:
    """Nothing of ours is inherited: PGDATA or PGHOST of the operator must not lead a private node elsewhere."""
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}


def _programs() -> Path | None:
    """Give the folder of the newest PostgreSQL's programs, as Debian lays them out."""
    found = [path.parent for path in _PROGRAMS.glob("*/bin/postgres") if path.parts[-3].isdigit()]
    return max(found, key=lambda path: int(path.parts[-2]), default=None)


def _unprivileged() -> User | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return User(entry.pw_uid, entry.pw_gid)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
