"""Free ports on loopback for private nodes. Which node listens where is the node's own business."""

from __future__ import annotations

import random
import socket
from threading import Lock

LOOPBACK = "127.0.0.1"

# Below 32768, where Linux begins to take ports for outgoing connections: a node that is restarted finds its own port free again.
_LOWEST, _HIGHEST = 20_000, 32_000
_given: set[int] = set()
_one_at_a_time = Lock()


def free_port() -> int:
    """Give a TCP port on loopback on which nothing listens, each only once in the life of this process."""
    with _one_at_a_time:
        for port in random.SystemRandom().sample(range(_LOWEST, _HIGHEST), k=_HIGHEST - _LOWEST):
            if port not in _given and _is_free(port):
                _given.add(port)
                return port
    raise OSError(f"no free port between {_LOWEST} and {_HIGHEST} on {LOOPBACK}")


def answers(port: int) -> bool:
    """Say whether something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do; without it a port whose last connections still wait out their time would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
