"""The HTTP intake really listening, on a real outbox, for the tests that knock at it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from broker.outbox.room import Room
from broker.outbox.store import Outbox
from broker.settings.model import Settings
from broker.settings.sources import HttpIntake
from producers.formats.registry import Reader, load_formats
from producers.sources.http.service import HttpService
from producers.sources.http.tokens import add_token
from schemas.names import Party
from tests.unit.producers.examples import CROSSING, EXPORT, IMPORT, export, release, settings_of

POST = Party("tj", "panji-poyon")
PLACE = "/v1/declarations"


def body(number: str = "1001", **changes: Any) -> bytes:
    """A good export declaration as canonical JSON."""
    return json.dumps({"type": EXPORT, "declaration": export(number, **changes)}, ensure_ascii=False).encode()


def settings_with(directory: Path, **http: Any) -> Settings:
    """Settings of a post that takes declarations by HTTP on loopback, by tokens unless told otherwise."""
    found = settings_of(directory, release(EXPORT), release(CROSSING), home_releases=(release(EXPORT), release(IMPORT)))
    chosen = HttpIntake.model_validate({"listen": "127.0.0.1:0", "tokens": directory / "secrets" / "tokens", **http})
    post = found.posts[POST.name].model_copy(update={"http": chosen})
    return found.model_copy(update={"posts": {POST.name: post}})


class Door:
    """A running HTTP intake, and clients of it."""

    def __init__(self, settings: Settings, room: Room | None = None) -> None:
        self.settings = settings
        http = settings.posts[POST.name].http
        assert http is not None
        self.tokens = http.tokens
        self.token = add_token(http.tokens, "asycuda") if http.tokens is not None and not http.tokens.exists() else ""
        self.outbox = Outbox.open(settings.posts[POST.name].outbox, POST, settings.environment, room=room or Room())
        self.woken = 0
        self.service = HttpService(settings, POST.name, self.outbox, Reader(load_formats()), self._wake)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.service.run, args=(self._stop,), name="http")

    def _wake(self) -> None:
        self.woken += 1

    def open(self) -> None:
        self._thread.start()
        until = time.monotonic() + 10
        while self.service.port is None:
            assert time.monotonic() < until
            time.sleep(0.01)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.outbox.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.service.port}"

    def client(self, token: str | None = None, **more: Any) -> httpx.Client:
        """Somebody with a token; with "" somebody without."""
        said = self.token if token is None else token
        headers = {"Authorization": f"Bearer {said}"} if said else {}
        scheme = "https" if "verify" in more else "http"
        return httpx.Client(base_url=f"{scheme}://{self.address}", headers=headers, timeout=20, trust_env=False, **more)

    def references(self) -> list[str]:
        """What is in the outbox for the Afghan house, in order."""
        rows = self.outbox.waiting("urn:customs:af:customs", 100_000, 10**9)
        return [json.loads(row.raw)["data"]["registration_number"] for row in rows]


@contextmanager
def door_of(settings: Settings, room: Room | None = None) -> Iterator[Door]:
    """Open it, and close it at the end."""
    door = Door(settings, room)
    door.open()
    try:
        yield door
    finally:
        door.close()
