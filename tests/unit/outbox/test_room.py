"""What bounds acceptance: a reserve of disk that only settling and relaying may use, and the most that may be unsettled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from broker.outbox.room import Room, free_bytes
from broker.outbox.store import Outbox
from schemas.errors import UnavailableError
from schemas.fates import Fate
from tests.tmpfs import SmallDisk, small_disk
from tests.unit.outbox.drafts import HOUSE, POST, HandClock, digests_of, draft, drafts, relay_all, settle

MEGABYTE = 1024 * 1024


def open_with(url: str, room: Room) -> Outbox:
    return Outbox.open(url, POST, "test", HandClock(), room=room)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as found:
        yield found


def test_below_the_reserve_nothing_is_accepted_and_everything_else_goes_on(disk: SmallDisk) -> None:
    url = f"sqlite:///{disk.path}/outbox.sqlite"
    outbox = open_with(url, Room(min_free_bytes=3 * MEGABYTE))
    taken = outbox.accept(drafts(50))
    digests = digests_of(outbox)
    disk.fill(2 * MEGABYTE)
    with pytest.raises(UnavailableError, match="outbox-disk-low") as told:
        outbox.accept(drafts(1, 100))
    assert "3 MB are kept" in str(told.value)
    assert outbox.accept(drafts(50))[0].duplicate  # what is there already needs no room: a file read again is told so
    relay_all(outbox, HandClock())
    settle(outbox, taken, digests)
    assert outbox.counts()[0].settled == 50
    disk.clear()
    assert outbox.accept(drafts(1, 100))[0].sequence == 51
    outbox.close()


def test_a_batch_that_would_eat_the_reserve_is_refused_before_it_does(disk: SmallDisk) -> None:
    outbox = open_with(f"sqlite:///{disk.path}/outbox.sqlite", Room(min_free_bytes=3 * MEGABYTE))
    with pytest.raises(UnavailableError, match="outbox-disk-low"):
        outbox.accept(drafts(500, length=5_000))
    assert disk.free_bytes > 3 * MEGABYTE
    assert outbox.accept(drafts(10, length=5_000))[-1].sequence == 10
    outbox.close()


def test_a_disk_full_to_the_end_is_told_and_heals_with_room(disk: SmallDisk) -> None:
    outbox = open_with(f"sqlite:///{disk.path}/outbox.sqlite", Room())
    outbox.accept(drafts(2))
    disk.fill()
    with pytest.raises(UnavailableError, match="outbox-full"):
        outbox.accept(drafts(500, 10, length=5_000))
    disk.clear()
    assert outbox.accept(drafts(500, 10, length=5_000))[0].sequence == 3
    outbox.close()


def test_a_file_on_a_large_disk_is_told_how_much_is_free(url: str) -> None:
    free = free_bytes(url)
    assert free is not None
    with_reserve = open_with(url, Room(min_free_bytes=free + 100 * MEGABYTE))
    with pytest.raises(UnavailableError, match="outbox-disk-low"):
        with_reserve.accept([draft(1)])
    with_reserve.close()
    assert free_bytes("postgresql+psycopg://panj@127.0.0.1/panj") is None


def test_a_bound_on_what_is_unsettled_refuses_until_receipts_come_home(url: str) -> None:
    outbox = open_with(url, Room(max_unsettled=10))
    taken = outbox.accept(drafts(8))
    digests = digests_of(outbox)
    relay_all(outbox, HandClock())
    with pytest.raises(UnavailableError, match="outbox-unsettled") as told:
        outbox.accept(drafts(3, 100))
    assert told.value.exit_code == 3
    assert outbox.accept(drafts(8)) == [replace(one, duplicate=True) for one in taken]
    settle(outbox, taken[:1], digests, Fate.HELD)
    with pytest.raises(UnavailableError, match="outbox-unsettled"):
        outbox.accept(drafts(3, 100))  # what is held is not settled
    settle(outbox, taken[1:3], digests)
    assert len(outbox.accept(drafts(3, 100))) == 3
    assert outbox.counts()[0].destination == HOUSE.urn
    outbox.close()


def test_a_backlog_is_counted_again_only_once_it_could_have_passed_its_bound(url: str) -> None:
    outbox = open_with(url, Room(max_unsettled=1_000))
    counted: list[str] = []
    event.listen(outbox._engine, "before_cursor_execute", lambda *told: counted.append(told[2]) if "count(*)" in told[2] else None)
    taken = [one for first in range(0, 900, 100) for one in outbox.accept(drafts(100, first))]
    assert not counted  # with the first batch there was nothing to count, and with none of the others
    digests = digests_of(outbox)
    relay_all(outbox, HandClock())
    settle(outbox, taken[:300], digests)
    outbox.accept(drafts(100, 1_000))
    outbox.accept(drafts(100, 2_000))  # 1,100 were accepted: only counting tells that it is 800 that are unsettled
    assert counted
    outbox.accept(drafts(200, 3_000))
    with pytest.raises(UnavailableError, match="outbox-unsettled") as told:
        outbox.accept(drafts(1, 4_000))
    assert told.value.problems[0].value == "1000"
    outbox.close()
