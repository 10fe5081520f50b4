from __future__ import annotations

import json
import threading
from collections import defaultdict

import pytest

from broker.outbox.store import Outbox
from schemas.errors import ConflictError, ContentError, SettingsError, UnavailableError
from schemas.event import Event, digest_of
from schemas.names import Party, house_of
from tests.unit.outbox.drafts import CROSSING, EXPORT, HOUSE, POST, HandClock, draft, drafts


def test_accepted_events_are_numbered_from_one_in_each_stream(outbox: Outbox) -> None:
    home = house_of("tj")
    taken = outbox.accept([draft(1), draft(2), draft(1, event_type=CROSSING), draft(1, destination=home), draft(3)])
    assert [(one.destination, one.type, one.sequence) for one in taken] == [
        (HOUSE, EXPORT, 1),
        (HOUSE, EXPORT, 2),
        (HOUSE, CROSSING, 1),
        (home, EXPORT, 1),
        (HOUSE, EXPORT, 3),
    ]
    assert outbox.accept([draft(4)])[0].sequence == 4


def test_the_bytes_kept_are_the_signed_event(outbox: Outbox, clock: HandClock) -> None:
    (taken,) = outbox.accept([draft(7, 2)])
    (row,) = outbox.waiting(HOUSE.urn, 10, 10_000)
    event = Event.model_validate(json.loads(row.raw))
    assert (event.id, event.source, event.destination, event.sequence, event.epoch) == (
        taken.event_id,
        POST.urn,
        HOUSE.urn,
        1,
        outbox.epoch,
    )
    assert (event.subject, event.environment, event.time) == ("TJ/TJPNJ/2026/7", "test", clock())
    assert row.digest == digest_of(row.raw)
    assert row.size_bytes == len(row.raw)


def test_the_same_content_again_gives_the_first_acceptance(outbox: Outbox) -> None:
    first = outbox.accept(drafts(3))
    again = outbox.accept([*drafts(3), draft(4), draft(4)])
    assert [one.event_id for one in again[:3]] == [one.event_id for one in first]
    assert [one.duplicate for one in again] == [True, True, True, False, True]
    assert again[3].event_id == again[4].event_id
    assert len(outbox.waiting(HOUSE.urn, 100, 10**6)) == 4


def test_another_content_under_a_known_version_is_a_conflict_and_nothing_of_the_batch_is_kept(outbox: Outbox) -> None:
    outbox.accept([draft(1)])
    with pytest.raises(ConflictError) as caught:
        outbox.accept([draft(2), draft(1, content="other"), draft(3)])
    assert caught.value.code == "version-conflict"
    assert [problem.field for problem in caught.value.problems] == ["drafts.1"]
    assert len(outbox.waiting(HOUSE.urn, 100, 10**6)) == 1
    assert outbox.accept([draft(2)])[0].sequence == 2
    assert outbox.accept([draft(1, 2, content="other")])[0].sequence == 3


def test_a_draft_that_makes_no_event_is_refused_before_it_gets_a_number(outbox: Outbox) -> None:
    with pytest.raises(ContentError) as caught:
        outbox.accept([draft(1), draft("9" * 300)])
    assert (caught.value.problems[0].field or "").startswith("drafts.1.subject")
    with pytest.raises(ContentError, match="event-too-large"):
        outbox.accept([draft(1, length=1024 * 1024)])
    assert outbox.accept([draft(1)])[0].sequence == 1


def test_a_clock_set_back_accepts_nothing_until_it_is_right_again(outbox: Outbox, clock: HandClock) -> None:
    outbox.accept([draft(1)])
    clock.turn(-30)
    with pytest.raises(UnavailableError, match="clock-behind"):
        outbox.accept([draft(2)])
    clock.turn(29.5)  # within a second, as a disciplined clock may be: the event bears the last one's instant
    outbox.accept([draft(2)])
    first, second = outbox.waiting(HOUSE.urn, 10, 10**6)
    assert first.accepted_at_utc == second.accepted_at_utc


def test_a_new_epoch_accepts_where_a_clock_had_run_ahead(outbox: Outbox, clock: HandClock) -> None:
    clock.turn(3600 * 24 * 365)
    outbox.accept([draft(1)])
    assert outbox.newest() == clock()
    clock.turn(-3600 * 24 * 365)
    with pytest.raises(UnavailableError, match="clock-behind"):
        outbox.accept([draft(2)])
    outbox.begin_epoch()
    assert outbox.newest() is None
    outbox.accept([draft(2)])
    assert outbox.newest() == clock()


def test_numbers_have_no_holes_when_many_accept_at_once(url: str, clock: HandClock) -> None:
    opened = [Outbox.open(url, POST, "test", clock) for _ in range(4)]
    failed: list[BaseException] = []

    def accept(outbox: Outbox, start: int) -> None:
        try:
            for batch in range(10):
                count = 1 + (start + batch) % 4
                outbox.accept(drafts(count, start * 1000 + batch * 10, event_type=EXPORT if batch % 3 else CROSSING))
                if batch == 4:  # a refused batch in between leaves no hole either
                    with pytest.raises(ConflictError):
                        outbox.accept([draft(start * 1000 + 900 + batch), draft(start * 1000 + batch * 10, content="other")])
        except BaseException as error:  # noqa: BLE001 - whatever it was, the test tells it
            failed.append(error)

    threads = [threading.Thread(target=accept, args=(outbox, start + 1)) for start, outbox in enumerate(opened)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    numbers = defaultdict(list)
    for row in opened[0].waiting(HOUSE.urn, 10_000, 10**9):
        numbers[row.type].append(json.loads(row.raw)["sequence"])
    assert len(numbers) == 2
    for sequence in numbers.values():
        assert sequence == list(range(1, len(sequence) + 1))  # in order of position, too
    for outbox in opened:
        outbox.close()


def test_an_outbox_of_another_post_or_environment_is_refused(outbox: Outbox, url: str) -> None:
    for source, environment in ((Party("tj", "ishkoshim"), "test"), (POST, "production")):
        with pytest.raises(SettingsError, match="outbox-foreign"):
            Outbox.open(url, source, environment)


def test_reopening_goes_on_with_the_same_life_and_numbers(outbox: Outbox, url: str, clock: HandClock) -> None:
    outbox.accept(drafts(3))
    epoch = outbox.epoch
    again = Outbox.open(url, POST, "test", clock)
    assert again.epoch == epoch
    assert again.accept([draft(4)])[0].sequence == 4
    again.close()


def test_a_new_epoch_counts_from_one_and_what_was_accepted_still_leaves(outbox: Outbox, url: str, clock: HandClock) -> None:
    outbox.accept(drafts(2))
    other = Outbox.open(url, POST, "test", clock)
    before, after = outbox.epoch, outbox.begin_epoch()
    assert outbox.epochs() == [before, after]
    assert [(one.epoch, one.sequence) for one in other.accept([draft(3)])] == [(after, 1)]
    assert outbox.accept([draft(1)])[0].duplicate
    assert len(outbox.waiting(HOUSE.urn, 10, 10**6)) == 3
    other.close()


def test_waiting_rows_keep_to_both_limits_and_a_large_one_still_leaves(outbox: Outbox) -> None:
    outbox.accept([draft(1, length=5_000), draft(2), draft(3)])
    assert [row.position for row in outbox.waiting(HOUSE.urn, 10, 100)] == [1]
    assert [row.position for row in outbox.waiting(HOUSE.urn, 2, 10**6)] == [1, 2]
    assert [row.position for row in outbox.waiting(HOUSE.urn, 10, 10**6, after_position=1)] == [2, 3]
    assert outbox.waiting(house_of("tj").urn, 10, 10**6) == []
