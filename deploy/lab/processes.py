"""Processes of the laboratory: children that end with their owner, however it ends, and the daemons of `panj` among them.

What a broker's or a database's process needs stands in `rabbitmq` and `postgresql`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UnavailableError

# A guard outlives its owner by design: it reads a process id from a pipe whose other end only the owner holds, and when that
# closes without the word "done" it ends what it was told of. (PR_SET_PDEATHSIG would do it without another process, but it fires
# when the starting *thread* ends, and nodes are started from threads.)
_GUARD = """
group=
while read -r word; do
  [ "$word" = done ] && exit 0
  group=$word
done
[ -n "$group" ] || exit 0
kill -s "$1" -- "-$group"
tries=0
while kill -s 0 -- "-$group" && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -s KILL -- "-$group"
exit 0
"""
# The child tells the guard its own id before it becomes the program: there is no moment in which it runs unguarded.
_ANNOUNCED = 'echo $$ >&0; exec "$@" </dev/null'

PANJ = "broker.operations.cli"  # the module behind the command `panj`

# How RabbitMQ and PostgreSQL mark a fault in their logs, with the time and process before it.
_FAULT = re.compile(r"^.*(\[error\] <[0-9.]+>|FATAL:)")


@dataclass(frozen=True, slots=True)
class User:
    """Who a child runs as, where that is not who we are."""

    uid: int
    gid: int


class Process:
    """One process in a session of its own (a Ctrl-C at the terminal is its owner's to handle), which never outlives its owner.

    `directory` is where it starts; `last_signal` is what it gets when the owner is gone; five seconds later it is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        user: User | None = None,
        last_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.log = log
        reading, writing = os.pipe()
        with contextlib.ExitStack() as ends:
            ends.callback(os.close, reading)
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "guard", last_signal.name.removeprefix("SIG")],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        self._guard_pipe: int | None = writing
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _ANNOUNCED, "child", *command],
                stdin=writing,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=directory,
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id: of the program itself, no shell stays around it."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, timeout_seconds: float) -> int:
        """Wait for its end and give its exit code (negative: the signal that ended it). Raises `TimeoutError`."""
        try:
            code = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} is still running after {timeout_seconds} s") from None
        self._dismiss_guard()
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens where it has ended."""
        self._process.send_signal(number)

    def terminate(self, timeout_seconds: float = 10, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, wait, kill it if it has not ended in time; give its exit code (-9 where it had to be killed)."""
        self.send(number)
        try:
            return self.wait(timeout_seconds)
        except TimeoutError:
            return self.kill()

    def kill(self) -> int:
        """End it with SIGKILL, as a power cut would, and give its exit code."""
        self._process.kill()
        return self.wait(30)

    def descendants(self) -> list[int]:
        """All processes below it, as process ids."""
        return _descendants(self.pid)

    def rss_bytes(self) -> int:
        """Its resident memory in bytes; 0 once it has ended."""
        try:
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        except FileNotFoundError:
            pass
        return 0

    def cpu_seconds(self) -> float:
        """What it used of a processor so far, itself and the kernel for it, in seconds; 0 once it has ended."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log_tail(self, lines: int = 20) -> str:
        """Give the last lines of its log."""
        return tail(self.log, lines)

    def _dismiss_guard(self) -> None:
        if self._guard_pipe is None:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._guard_pipe, b"done\n")
        os.close(self._guard_pipe)
        self._guard_pipe = None
        self._guard.wait(30)


class Daemon(Process):
    """A `panj …` daemon as a child of its own, logging to a file. The same Python and the same code as we run ourselves.

    `through` is the module that runs it, with arguments before those of `panj`: the command itself, unless a test starts it otherwise.
    """

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, through: Sequence[str] = (PANJ,)
    ) -> None:
        self.arguments = tuple(arguments)
        super().__init__(
            [sys.executable, "-m", *through, *arguments],
            log=log,
            environment={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            last_signal=signal.SIGTERM,
        )


def tail(log: Path, lines: int = 20) -> str:
    """Give the last lines of a log file, or say that there is none."""
    try:
        text = log.read_bytes()[-64 * 1024 :].decode(errors="replace")
    except FileNotFoundError:
        return f"(no log at {log})"
    return "\n".join(text.splitlines()[-lines:]) or f"(nothing in {log})"


def wait_until_ready(what: str, child: Process, ready: Callable[[], bool], timeout_seconds: float, logs: Sequence[Path]) -> None:
    """Wait until `ready()`; raise `UnavailableError` with the end of its logs where the child ends before or the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if not child.running:
            code = child.wait(1)
            raise UnavailableError("lab-node-failed", f"{what} ended with {code} while starting; its log ends:\n{_last_words(logs)}")
        if time.monotonic() > deadline:
            raise UnavailableError(
                "lab-node-failed", f"{what} does not answer after {timeout_seconds:.0f} s; its log ends:\n{_last_words(logs)}"
            )
        time.sleep(0.1)


def _last_words(logs: Sequence[Path]) -> str:
    """Give the first faults in the first log that has lines, else its end, short enough for an error's text."""
    for log in logs:
        if log.exists() and log.stat().st_size:
            text = tail(log, 400)
            faults = [fault for line in text.splitlines() if (fault := _FAULT.sub("", line).strip()) and _FAULT.search(line)]
            return "\n".join(faults)[:350] if faults else text[-350:]
    return "(nothing)"


def wait_until_gone(pids: Sequence[int], timeout_seconds: float) -> bool:
    """Wait until none of these processes runs any more; say whether that came true in time."""
    deadline = time.monotonic() + timeout_seconds
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_running(pid: int) -> bool:
    """Say whether a process runs; one that has ended and only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                found += [int(child), *_descendants(int(child))]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found
