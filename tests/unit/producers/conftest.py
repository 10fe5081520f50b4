from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.outbox.store import Outbox
from broker.settings.model import Settings
from producers.intake import Intake
from schemas.names import Party
from tests.unit.producers.examples import CROSSING, EXPORT, IMPORT, release, settings_of

POST = Party("tj", "panji-poyon")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, release(EXPORT), release(CROSSING), home_releases=(release(EXPORT), release(IMPORT)))


@pytest.fixture
def outbox(settings: Settings) -> Iterator[Outbox]:
    opened = Outbox.open(settings.posts["panji-poyon"].outbox, POST, settings.environment)
    yield opened
    opened.close()


@pytest.fixture
def intake(settings: Settings, outbox: Outbox) -> Intake:
    return Intake(settings, POST, outbox)
