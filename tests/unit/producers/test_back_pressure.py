"""Intake while the outbox may not accept: files stay where they are, it is told once, and it goes on by itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from broker.outbox.room import Room
from broker.outbox.store import Outbox
from broker.settings.model import Settings
from producers.formats.canonical_json import FORMAT
from producers.formats.registry import Reader
from producers.intake import Intake
from producers.sources.directory import WatchedDirectory, watch
from tests.tmpfs import SmallDisk, small_disk
from tests.unit.producers.conftest import POST
from tests.unit.producers.examples import EXPORT, export

MEGABYTE = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as found:
        yield found


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_files_wait_while_the_disk_is_low_and_are_taken_once_there_is_room(disk: SmallDisk, settings: Settings, tmp_path: Path) -> None:
    outbox = Outbox.open(f"sqlite:///{disk.path}/outbox.sqlite", POST, "test", room=Room(min_free_bytes=3 * MEGABYTE))
    watched = tmp_path / "declarations"
    directory = WatchedDirectory(watched, Intake(settings, POST, outbox), Reader((FORMAT,)))
    disk.fill(2 * MEGABYTE)
    for number in range(20):
        (watched / f"{number}.json").write_text(json.dumps({"type": EXPORT, "declaration": export(str(number))}), "utf-8")
    stop = threading.Event()
    with structlog.testing.capture_logs() as logs:
        watching = threading.Thread(target=watch, args=(directory, stop, lambda: None, 0.05))
        watching.start()
        try:
            wait_until(lambda: any(entry["event"] == "intake.paused" for entry in logs))
            time.sleep(2.5)  # long enough for another attempt, which tells nothing
            assert len(list(watched.glob("*.json"))) == 20
            disk.clear()
            wait_until(lambda: not list(watched.glob("*.json")))
            wait_until(lambda: any(entry["event"] == "intake.resumed" for entry in logs))
        finally:
            stop.set()
            watching.join(30)
    told = [(entry["event"], entry.get("code")) for entry in logs if entry["event"].startswith("intake.")]
    assert told == [("intake.paused", "outbox-disk-low"), ("intake.resumed", "outbox-disk-low")]
    assert sum(depth.accepted for depth in outbox.counts()) == 40  # each went to both houses
    assert not list((watched / "rejected").iterdir())
    outbox.close()
