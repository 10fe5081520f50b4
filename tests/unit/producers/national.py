"""A national system as fates are told to it: an HTTP receiver on loopback that keeps what it was told, and a table of rows."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = b"0123456789abcdef0123456789abcdef"
DDL = """
CREATE TABLE panj_fate (
    number integer PRIMARY KEY,
    event_id text NOT NULL, fate text NOT NULL, reference text NOT NULL, version integer NOT NULL CHECK (version > 0),
    event_type text NOT NULL, destination text NOT NULL, post text NOT NULL, at_utc text NOT NULL, problems text,
    UNIQUE (event_id, fate)
)
"""


class Called:
    """A national system that listens: `says` decides its answer by what it is told and how often it was."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.calls: Counter[str] = Counter()
        self.says: Callable[[dict[str, Any], int], int] = lambda _told, _times: 204
        self.headers: dict[str, str] = {}
        called = self
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told = json.loads(body)
                with lock:
                    called.calls[told["id"]] += 1
                    called.requests.append((dict(self.headers), body))
                    status = called.says(told, called.calls[told["id"]])
                    if 200 <= status < 300:
                        called.said.append(told)
                if status == 0:  # says nothing, for longer than anybody waits
                    time.sleep(1.0)
                    return
                self.send_response(status)
                for name, value in called.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/fates"


@contextmanager
def listening() -> Iterator[Called]:
    """Have one listen for as long as the context lasts."""
    found = Called()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()
        thread.join()
