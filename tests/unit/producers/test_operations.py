"""What `panj status` tells of a post's directory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from broker.operations.contributions import Attention
from broker.settings.model import Settings
from producers.life import open_outbox
from producers.marker import BEGUN
from producers.operations import observe
from producers.sources.shelves import Shelves


def test_a_directory_of_another_machine_is_not_told_of(settings: Settings) -> None:
    assert list(observe(settings)) == []


def test_an_outbox_that_is_gone_asks_for_a_person(settings: Settings, tmp_path: Path) -> None:
    open_outbox(settings, "panji-poyon").close()
    assert list(observe(settings)) == []
    for file in tmp_path.glob("outbox.sqlite*"):
        if not file.name.endswith(BEGUN):
            file.unlink()
    (reading,) = observe(settings)
    assert (reading.value, reading.attention) == ("lost", Attention.ACT)
    assert "panj post recover" in reading.advice


def test_files_that_wait_too_long_and_rejected_ones_ask_for_a_person(settings: Settings) -> None:
    watched = settings.posts["panji-poyon"].watch
    shelves = Shelves(watched)
    assert {reading.attention for reading in observe(settings)} == {Attention.FINE}
    for name in ("1.json", "2.json"):
        (watched / name).write_text("{")
    shelves.reject(watched / "1.json", b"{}")
    os.utime(watched / "2.json", (time.time() - 3600,) * 2)
    waiting, rejected = observe(settings)
    assert (waiting.value, waiting.attention) == (1, Attention.WATCH)
    assert (rejected.value, rejected.attention) == (1, Attention.WATCH)
