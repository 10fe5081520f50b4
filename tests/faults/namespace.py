"""A bad line: the laboratory's line led through a network namespace that is made for it, with `tbf` for its rate and iptables'
`statistic` for its loss. Needs root, iproute2 and iptables; touches nothing outside the namespace but one pair of virtual interfaces.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from deploy.lab.laboratory import Laboratory
from deploy.lab.ports import LOOPBACK
from deploy.lab.processes import is_running
from deploy.lab.proxy import LineProxy

_NAMESPACES = Path("/run/netns")
_PREFIX = "panj-faults-"
_CLONE_NEWNET = 0x40000000
# 198.18.0.0/15 is set apart for tests of network devices (RFC 2544); a /30 of it by process id.
_NETWORK = "198.18"


def missing() -> str:
    """What this machine lacks for a bad line, in words; empty where nothing."""
    if os.geteuid() != 0:
        return "root"
    lacking = [name for name in ("ip", "tc", "iptables") if shutil.which(name) is None]
    return ", ".join(lacking)


class BadLine:
    """The namespace with its two ends, here `.1` and there `.2`."""

    def __init__(self) -> None:
        pid = os.getpid()
        self.name = f"{_PREFIX}{pid}"
        self._here, self._there = f"pjh{pid}", f"pjt{pid}"
        third, fourth = (pid // 64) % 256, (pid % 64) * 4
        self.address_here, self.address = f"{_NETWORK}.{third}.{fourth + 1}", f"{_NETWORK}.{third}.{fourth + 2}"

    def make(self, loss: float, kbit_per_second: int) -> None:
        """Make it; RuntimeError with what the system said where it refuses."""
        _remove_stale()
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self.name)
        _run("ip", "addr", "add", f"{self.address_here}/30", "dev", self._here)
        self._inside("ip", "addr", "add", f"{self.address}/30", "dev", self._there)
        for run, device in ((_run, self._here), (self._inside, self._there)):
            # Packets as they travel on a wire, and not the kernel's own of 64 kB.
            run("ip", "link", "set", device, "gso_max_segs", "1", "up")
            rate = f"{kbit_per_second}kbit"
            run("tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", rate, "burst", "4kb", "latency", "2s")
        if loss:
            for chain in ("INPUT", "OUTPUT"):
                self._inside("iptables", "-A", chain, "-m", "statistic", "--mode", "random", "--probability", f"{loss}", "-j", "DROP")

    def fall_silent(self) -> None:
        """Drop everything, without a word."""
        self._inside("iptables", "-I", "INPUT", "-j", "DROP")

    def speak(self) -> None:
        """Undo it."""
        self._inside("iptables", "-D", "INPUT", "-j", "DROP")

    def listen(self) -> socket.socket:
        """Give a socket that listens inside, for whoever is here: a socket stays in the namespace in which it was made."""
        found: list[socket.socket] = []

        def listen() -> None:  # a thread of its own: it alone moves
            with (_NAMESPACES / self.name).open() as handle:
                if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
            found.append(socket.create_server((self.address, 0)))

        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        return found[0]

    def remove(self) -> None:
        """Remove it, with both interfaces."""
        with suppress(RuntimeError):
            _run("ip", "netns", "del", self.name)
        with suppress(RuntimeError):  # it went with its peer, unless the namespace never came to be
            _run("ip", "link", "del", self._here)

    def _inside(self, *command: str) -> None:
        _run("ip", "netns", "exec", self.name, *command)


@contextmanager
def bad_line(lab: Laboratory, seconds_each_way: float, loss: float, kbit_per_second: int) -> Iterator[BadLine]:
    """Lead the line between the brokers over a bad one, until the end."""
    line = BadLine()
    with ExitStack() as undo:
        undo.callback(line.remove)
        line.make(loss, kbit_per_second)
        for country, proxy in lab.lines.items():
            port = lab.nodes[country].amqps_port
            inside = LineProxy(LOOPBACK, port, listener=line.listen())
            undo.callback(inside.close)
            undo.callback(proxy.lead_to, LOOPBACK, port)
            undo.callback(proxy.delay, 0)
            proxy.lead_to(line.address, inside.port)
            proxy.delay(seconds_each_way)
        yield line


def _remove_stale() -> None:
    """What a run left that was killed."""
    for path in _NAMESPACES.glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX)
        if pid.isdigit() and not is_running(int(pid)):
            with suppress(RuntimeError):
                _run("ip", "netns", "del", path.name)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
