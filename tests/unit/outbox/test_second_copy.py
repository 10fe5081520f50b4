"""The second copy: what is accepted is in it before it is acknowledged; it never stops acceptance, and catches up when it is back."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.outbox import second_copy
from broker.outbox.copy_files import segments
from broker.outbox.copy_lines import CopiedEvent, decode, decode_all, encode
from broker.outbox.second_copy import CopyPlace
from broker.outbox.store import Outbox
from broker.outbox.values import WithdrawalWish
from tests.unit.outbox.drafts import HOUSE, POST, HandClock, digests_of, draft, drafts, relay_all, settle

MOUNT, UMOUNT = shutil.which("mount") or "mount", shutil.which("umount") or "umount"


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    return tmp_path / "stick" / POST.unit


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become hundredths."""
    monkeypatch.setattr(second_copy, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(second_copy, "CLEAN_SECONDS", 0.05)


@pytest.fixture
def copied(url: str, clock: HandClock, stick: Path, impatient: None) -> Iterator[Outbox]:
    """An outbox that keeps a second copy."""
    opened = Outbox.open(url, POST, "test", clock)
    opened.copy_to(CopyPlace(stick), keeps=True)
    yield opened
    opened.close()


def wait_for(what: str, done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def there(stick: Path) -> dict[str, CopiedEvent]:
    """All whole lines, by id."""
    found: dict[str, CopiedEvent] = {}
    for path in segments(stick):
        found |= {event.event_id: event for event in decode_all(path.read_bytes())[0]}
    return found


def unsettled(outbox: Outbox) -> set[str]:
    return {str(row.event_id) for number in range(100) for row in outbox.rows_of(draft(number).reference) if row.settled_at_utc is None}


def test_an_acceptance_is_in_the_copy_when_it_is_returned(copied: Outbox, stick: Path) -> None:
    for number in (1, 2, 3):
        (accepted,) = copied.accept([draft(number)])
        assert accepted.copies == 2
        kept = there(stick)[accepted.event_id]
        (row,) = [row for row in copied.waiting(HOUSE.urn, 10, 10**6) if accepted.event_id.encode() in row.raw]
        assert (kept.raw, kept.reference, kept.version) == (row.raw, accepted.reference, 1)
    wait_for("it is whole", lambda: (standing := copied.copy_standing()) is not None and standing.trouble is None)
    assert copied.accept([draft(1)])[0].copies == 2


def test_without_a_second_copy_an_acceptance_has_one(outbox: Outbox) -> None:
    assert outbox.accept([draft(1)])[0].copies == 1
    assert outbox.copy_standing() is None


def test_a_stick_that_is_missing_stops_nothing_and_is_caught_up_when_it_is_back(copied: Outbox, stick: Path) -> None:
    copied.accept([draft(1)])
    wait_for("it is whole", lambda: copied.copy_standing() is not None)
    shutil.rmtree(stick)
    stick.write_text("no directory")  # whatever is tried there fails
    wait_for("it is told", lambda: copied.copy_standing().trouble is not None)  # type: ignore[union-attr]
    assert {each.copies for each in copied.accept(drafts(5, 2))} == {1}
    assert {each.copies for each in copied.accept(drafts(6))} == {1}
    stick.unlink()
    wait_for("it is back", lambda: copied.copy_standing().trouble is None)  # type: ignore[union-attr]
    assert there(stick).keys() == unsettled(copied)
    assert {each.copies for each in copied.accept(drafts(7))} == {2}


def test_a_slow_stick_costs_one_wait_and_not_one_an_acceptance(url: str, clock: HandClock, stick: Path, impatient: None) -> None:
    outbox = Outbox.open(url, POST, "test", clock)
    outbox.copy_to(CopyPlace(stick, patience_seconds=0.0), keeps=True)
    assert {each.copies for each in outbox.accept(drafts(3))} <= {1, 2}
    wait_for("all is in it", lambda: there(stick).keys() == unsettled(outbox))
    outbox.close()


def test_a_full_stick_stops_nothing(url: str, clock: HandClock, tmp_path: Path, impatient: None) -> None:
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = [MOUNT, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small tmpfs")
    outbox = Outbox.open(url, POST, "test", clock)
    try:
        outbox.copy_to(CopyPlace(mounted / POST.unit), keeps=True)
        assert outbox.accept([draft(1, length=20_000)])[0].copies == 2
        assert outbox.accept([draft(2, length=50_000)])[0].copies == 1
        wait_for("it is told", lambda: "space" in str(outbox.copy_standing()))
        digests = digests_of(outbox)
        accepted = outbox.accept([draft(1, length=20_000), draft(2, length=50_000)])
        relay_all(outbox, clock)
        settle(outbox, accepted, digests)
        wait_for("it is back", lambda: outbox.copy_standing().trouble is None)  # type: ignore[union-attr]
        assert outbox.accept([draft(3)])[0].copies == 2
    finally:
        outbox.close()
        subprocess.run([UMOUNT, str(mounted)], check=True)


def test_the_outbox_s_own_disk_is_no_second_one(url: str, clock: HandClock, tmp_path: Path, impatient: None) -> None:
    outbox = Outbox.open(url, POST, "test", clock)
    outbox.copy_to(CopyPlace(tmp_path / "stick" / POST.unit, apart_from=tmp_path), keeps=True)
    assert outbox.accept([draft(1)])[0].copies == 1
    wait_for("it is told", lambda: "is the stick mounted?" in str(outbox.copy_standing()))
    assert not (tmp_path / "stick").exists()
    outbox.close()


def test_another_disk_is_one(url: str, clock: HandClock, tmp_path: Path, impatient: None) -> None:
    memory = Path("/dev/shm")  # noqa: S108 - a second filesystem is what is wanted
    if not memory.is_dir() or os.stat(memory).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is no second filesystem at /dev/shm")
    place = memory / f"panj-test-{os.getpid()}"
    outbox = Outbox.open(url, POST, "test", clock)
    try:
        outbox.copy_to(CopyPlace(place / POST.unit, apart_from=tmp_path), keeps=True)
        assert outbox.accept([draft(1)])[0].copies == 2
    finally:
        outbox.close()
        shutil.rmtree(place, ignore_errors=True)


def test_segments_whose_events_are_settled_are_removed(copied: Outbox, stick: Path, clock: HandClock) -> None:
    accepted = copied.accept(drafts(5))
    digests = digests_of(copied)
    relay_all(copied, clock)
    settle(copied, accepted[:4], digests)
    time.sleep(0.2)  # some rounds of cleaning: one event still needs its segment
    assert accepted[4].event_id in there(stick)
    settle(copied, accepted[4:], digests)
    wait_for("the segment is removed", lambda: segments(stick) == [])
    assert copied.accept([draft(6)])[0].copies == 2


def test_what_the_outbox_knows_nothing_of_is_never_removed(copied: Outbox, stick: Path, url: str, clock: HandClock, tmp_path: Path) -> None:
    copied.accept([draft(1)])
    shutil.copytree(stick, tmp_path / "of another life")
    other = Outbox.open(f"sqlite:///{tmp_path}/other.sqlite", POST, "test", clock)
    other.copy_to(CopyPlace(tmp_path / "of another life"), keeps=True)
    wait_for("it has looked", lambda: other.copy_standing() is not None)
    time.sleep(0.2)  # some rounds of cleaning
    assert there(tmp_path / "of another life").keys() == there(stick).keys()
    other.close()


def test_what_was_accepted_before_there_was_a_copy_is_caught_up(
    outbox: Outbox, url: str, clock: HandClock, stick: Path, impatient: None
) -> None:
    outbox.accept(drafts(20))
    again = Outbox.open(url, POST, "test", clock)
    again.copy_to(CopyPlace(stick), keeps=True)
    wait_for("all is in it", lambda: there(stick).keys() == unsettled(outbox))
    again.close()


def test_a_process_beside_the_daemon_copies_what_it_accepts_itself(copied: Outbox, url: str, clock: HandClock, stick: Path) -> None:
    beside = Outbox.open(url, POST, "test", clock)
    beside.copy_to(CopyPlace(stick), keeps=False)
    (accepted,) = beside.accept([draft(1)])
    assert accepted.copies == 2
    assert accepted.event_id in there(stick)
    assert beside.accept([draft(1)])[0].copies == 2  # so says the one that keeps it
    digests = digests_of(copied)
    relay_all(copied, clock)
    settle(copied, [accepted], digests)
    time.sleep(0.2)  # it may write on: its segment stays
    assert len(segments(stick)) == 1
    beside.close()
    wait_for("the segment is removed", lambda: segments(stick) == [])


def test_a_withdrawal_is_in_the_copy_too(copied: Outbox, stick: Path) -> None:
    (accepted,) = copied.accept([draft(1)])
    copied.withdraw(WithdrawalWish(draft(1).reference, "wrong truck"), "amina")
    assert there(stick)[accepted.event_id].withdrawal is not None


def test_torn_and_damaged_lines_are_left_out_and_counted() -> None:
    events = [CopiedEvent(f"id {number}", "TJ/1", number, bytes(32), b'{"a":"\\t\\n"}') for number in range(3)]
    lines = [encode(event) for event in events]
    assert [decode(line[:-1]) for line in lines] == events
    whole = b"".join(lines)
    for cut in range(len(lines[0]), len(whole)):
        read, _ = decode_all(whole[:cut])
        assert read == events[: len(read)]
        assert len(read) >= 1
    for at in range(0, len(lines[0]), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0x20
        read, bad = decode_all(bytes(damaged))
        assert bad >= 1
        assert all(event in events for event in read)
