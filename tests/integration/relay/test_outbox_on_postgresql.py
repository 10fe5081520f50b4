"""Everything that the outbox promises on SQLite, on PostgreSQL too: the same tests, collected here with another `url`."""

from __future__ import annotations

import threading

import pytest

from broker.outbox import engine as engine_module
from broker.outbox.engine import one_at_a_time, open_engine, writing
from broker.outbox.store import Outbox
from schemas.errors import UnavailableError
from tests.unit.outbox.drafts import POST, HandClock, draft
from tests.unit.outbox.test_acceptance import *  # noqa: F403 - the tests themselves
from tests.unit.outbox.test_closings import *  # noqa: F403 - the tests themselves
from tests.unit.outbox.test_migrations import *  # noqa: F403 - the tests themselves
from tests.unit.outbox.test_recording import *  # noqa: F403 - the tests themselves
from tests.unit.outbox.test_recovering import *  # noqa: F403 - the tests themselves
from tests.unit.outbox.test_telling import *  # noqa: F403 - the tests themselves
from tests.unit.outbox.test_versioning import *  # noqa: F403 - the tests themselves
from tests.unit.outbox.test_withdrawing import *  # noqa: F403 - the tests themselves


def test_several_processes_may_begin_the_same_outbox_at_once(url: str) -> None:
    epochs: list[str] = []

    def begin() -> None:
        outbox = Outbox.open(url, POST, "test")
        epochs.append(outbox.epoch)
        outbox.close()

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(epochs) == 4
    assert len(set(epochs)) == 1


def test_a_lock_kept_too_long_is_told_as_busy(url: str, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "WAIT_FOR_LOCK_SECONDS", 1)
    impatient = Outbox.open(url, POST, "test", HandClock())
    other = open_engine(url)
    with writing(other) as connection:
        one_at_a_time(connection)
        with pytest.raises(UnavailableError, match="outbox-busy"):
            impatient.lease.take("here:1:aa", 15)
    assert impatient.accept([draft(1)])[0].sequence == 1
    impatient.close()
    other.dispose()
