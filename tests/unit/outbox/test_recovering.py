"""An outbox that was set back accepts nothing, learns from the houses what it forgot, and goes on in a new epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from broker import audit
from broker.outbox.engine import open_engine, reading
from broker.outbox.store import Outbox
from broker.outbox.tables import audit as trail
from broker.outbox.values import Acceptance, Draft, Occurrences, ReceivedReceipt, Settlement, Told, WithdrawalWish
from broker.trust.signing import b64url
from schemas.content import content_digest
from schemas.control import RecoveryAnswer
from schemas.errors import ConflictError, PanjError, UnavailableError
from schemas.event import digest_of, new_id
from schemas.fates import Fate
from schemas.names import house_of
from tests.unit.outbox.drafts import CROSSING, EXPORT, HOUSE, POST, HandClock, digests_of, draft, drafts, relay_all, settle

OTHER = house_of("uz")


def held_by_house(
    of: Draft, epoch: str, sequence: int, *, event_id: str | None = None, digest: bytes | None = None, fate: Fate = Fate.LOADED, **more: Any
) -> dict[str, Any]:
    """An event as a house tells it: by default one that the outbox never heard of."""
    problems = [] if fate is Fate.LOADED else [{"code": "rule-broken", "text": "it breaks a rule"}]
    return {
        "type": of.type,
        "epoch": epoch,
        "sequence": sequence,
        "id": event_id or new_id(),
        "digest": b64url(digest or digest_of(f"{of.reference} {sequence}".encode())),
        "reference": of.reference,
        "version": of.version,
        "content": b64url(content_digest(of.data)),
        "fate": fate.value,
        "problems": problems,
    } | more


def tell(outbox: Outbox, entries: Sequence[dict[str, Any]], *, house: str = HOUSE.urn, left: int = 0) -> None:
    """Let a house tell one page."""
    heads: dict[tuple[str, str], int] = {}
    for one in entries:
        heads[(one["type"], one["epoch"])] = one["sequence"]
    told = [{"type": event_type, "epoch": epoch, "last": last} for (event_type, epoch), last in heads.items()]
    answer = {"request": new_id(), "entries": entries, "told": told, "left": left}
    receipt = ReceivedReceipt(digest_of(repr(answer).encode()), house, repr(answer).encode(), "a signature")
    outbox.learn(Told(house, RecoveryAnswer.model_validate(answer), receipt))


def refusal(outbox: Outbox) -> str:
    with pytest.raises(UnavailableError) as caught:
        outbox.accept([draft("new")])
    return caught.value.code


def acts(url: str) -> list[str]:
    engine = open_engine(url)
    with reading(engine) as connection:
        trail_now = audit.entries(connection, trail)
    engine.dispose()
    assert audit.first_broken(trail_now) is None
    return [entry.action for entry in trail_now]


def test_a_set_back_outbox_accepts_nothing_from_then_on(outbox: Outbox, url: str, clock: HandClock) -> None:
    outbox.accept(drafts(3))
    outbox.suspect("the house holds more than it ever gave")
    assert refusal(outbox) == "outbox-restored"
    again = Outbox.open(url, POST, "test", clock)
    with pytest.raises(UnavailableError, match="panj post recover"):
        again.accept([draft(9)])
    assert len(again.waiting(HOUSE.urn, 10, 10**6)) == 3  # what is there is still sent
    again.close()


def test_recovering_begins_a_new_epoch_that_accepts_only_when_every_house_has_told_all(outbox: Outbox, url: str, clock: HandClock) -> None:
    before = outbox.epoch
    outbox.accept(drafts(2))
    outbox.suspect("it is older than its marker")
    state = outbox.begin_recovery([HOUSE.urn, OTHER.urn], reason="the disk was restored")
    assert state.life.epoch == outbox.epoch != before
    assert state.waiting_for == (HOUSE.urn, OTHER.urn)
    assert refusal(outbox) == "outbox-recovering"
    tell(outbox, [])
    assert refusal(outbox) == "outbox-recovering"
    outbox.close()
    again = Outbox.open(url, POST, "test", clock)
    assert again.begin_recovery([HOUSE.urn, OTHER.urn]).life.epoch == state.life.epoch  # goes on, begins nothing
    tell(again, [], house=OTHER.urn)
    (accepted,) = again.accept([draft(3)])
    assert (accepted.epoch, accepted.sequence) == (state.life.epoch, 1)
    again.close()
    assert acts(url) == ["outbox.recovery_begun", "outbox.learned", "outbox.learned", "outbox.recovered"]


def test_what_is_settled_is_not_asked_for_again(outbox: Outbox, clock: HandClock) -> None:
    accepted = outbox.accept([*drafts(5), draft("c1", event_type=CROSSING)])
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    settle(outbox, [accepted[index] for index in (0, 1, 3, 5)], digests)
    outbox.begin_recovery([HOUSE.urn])
    assert {(head.type, head.epoch): head.last for head in outbox.heads(HOUSE.urn)} == {
        (EXPORT, accepted[0].epoch): 2,
        (CROSSING, accepted[0].epoch): 1,
    }


def test_a_replaced_outbox_asks_for_everything(outbox: Outbox, clock: HandClock) -> None:
    accepted = outbox.accept(drafts(2))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    settle(outbox, accepted, digests)
    outbox.begin_recovery([HOUSE.urn], everything=True)
    assert outbox.heads(HOUSE.urn) == []


def test_what_the_house_knows_is_learned_and_recognised_when_it_is_put_in_again(outbox: Outbox) -> None:
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    first, second = held_by_house(draft(1), lost, 1), held_by_house(draft(2), lost, 2, fate=Fate.REFUSED)
    tell(outbox, [first], left=1)
    assert outbox.rows_of(draft(1).reference) == []  # nothing before all is told
    tell(outbox, [second])
    again = outbox.accept(drafts(3))
    assert [(each.event_id, each.duplicate) for each in again[:2]] == [(first["id"], True), (second["id"], True)]
    assert (again[2].duplicate, again[2].sequence, again[2].epoch) == (False, 1, outbox.epoch)
    with pytest.raises(ConflictError) as caught:
        outbox.accept([draft(1, content="other")])
    assert caught.value.code == "version-conflict"
    fates = {fate.event_id: fate for fate in outbox.fate_of([first["id"], second["id"]])}
    assert fates[first["id"]].fate is Fate.LOADED
    assert fates[second["id"]].problems[0].code == "rule-broken"


def test_a_page_that_comes_twice_is_learned_once(outbox: Outbox) -> None:
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    entries = [held_by_house(draft(number), lost, number) for number in (1, 2)]
    tell(outbox, entries, left=5)
    tell(outbox, entries, left=5)
    tell(outbox, [])
    (house,) = outbox.recovery().houses
    assert (house.told, house.learned) == (2, 2)
    tell(outbox, [held_by_house(draft(7), lost, 7)])  # nobody asked for it any more
    assert outbox.rows_of(draft(7).reference) == []


def test_content_that_the_house_cannot_tell_is_sent_again_for_it_to_judge(outbox: Outbox) -> None:
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    tell(outbox, [held_by_house(draft(1), lost, 1, content=None), held_by_house(draft(2), lost, 2, version=None, content=None)])
    one, two = outbox.accept(drafts(2))
    assert not one.duplicate
    assert not two.duplicate


def test_what_is_known_here_and_settled_over_there_is_settled(outbox: Outbox, clock: HandClock) -> None:
    accepted = outbox.accept(drafts(3))
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    outbox.begin_recovery([HOUSE.urn])
    tell(
        outbox,
        [
            known(accepted[0], digests, Fate.LOADED),
            known(accepted[1], digests, Fate.HELD),
            known(accepted[2], digests, Fate.LOADED) | {"digest": b64url(bytes(32))},  # no digest of ours: it settles nothing
        ],
    )
    by_id = {fate.event_id: fate for fate in outbox.fate_of([each.event_id for each in accepted])}
    assert [by_id[each.event_id].fate for each in accepted] == [Fate.LOADED, None, None]
    assert by_id[accepted[1].event_id].answered_fate is Fate.HELD
    assert outbox.recovery().houses[0].settled == 1


def known(event: Acceptance, digests: dict[str, bytes], fate: Fate) -> dict[str, Any]:
    digest = digests[event.event_id]
    return held_by_house(draft(event.reference), event.epoch, event.sequence, event_id=event.event_id, digest=digest, fate=fate)


def test_an_event_whose_place_is_taken_goes_out_again_as_a_new_one(outbox: Outbox, url: str, clock: HandClock) -> None:
    lost = outbox.epoch
    old = outbox.accept([draft(1), draft(2)])
    relay_all(outbox, clock)
    (_, before) = (json.loads(row.raw) for row in outbox.rows_at([1, 2]))
    outbox.begin_recovery([HOUSE.urn])
    theirs = held_by_house(draft(8), lost, 2)  # accepted in the time that this outbox forgot
    tell(outbox, [theirs])
    (row,) = outbox.waiting(HOUSE.urn, 10, 10**6)
    now = json.loads(row.raw)
    assert (now["epoch"], now["sequence"], now["data"]) == (outbox.epoch, 1, before["data"])
    assert row.digest == digest_of(row.raw)
    assert now["id"] not in {event.event_id for event in old}
    assert now["time"] == before["time"]
    assert row.position > 2  # positions rise with sequences
    (again,) = outbox.accept([draft(2)])
    assert (again.duplicate, again.event_id) == (True, now["id"])
    (eight,) = outbox.accept([draft(8)])
    assert (eight.duplicate, eight.event_id) == (True, theirs["id"])
    assert outbox.accept([draft(3)])[0].sequence == 2
    assert "event.reissued" in acts(url)


def test_an_event_whose_content_is_over_there_already_does_not_go_out_again(outbox: Outbox, url: str, clock: HandClock) -> None:
    lost = outbox.epoch
    outbox.accept([draft(1), draft(2)])
    relay_all(outbox, clock)
    outbox.accept([draft(3)])  # never relayed
    outbox.begin_recovery([HOUSE.urn])
    tell(outbox, [held_by_house(draft(2), lost, 1), held_by_house(draft(1), lost, 2), held_by_house(draft(3), lost, 4)])
    assert outbox.waiting(HOUSE.urn, 10, 10**6) == []
    assert outbox.is_quiet()
    assert all(event.duplicate for event in outbox.accept(drafts(3)))
    assert acts(url).count("event.recognised") == 3


def test_two_contents_under_one_name_keep_both_and_the_house_decides(outbox: Outbox, clock: HandClock) -> None:
    lost = outbox.epoch
    outbox.accept([draft(1, content="ours")])
    relay_all(outbox, clock)
    outbox.begin_recovery([HOUSE.urn])
    tell(outbox, [held_by_house(draft(1, content="theirs"), lost, 1)])
    assert len(outbox.waiting(HOUSE.urn, 10, 10**6)) == 1
    assert all(outbox.accept([draft(1, content=content)])[0].duplicate for content in ("ours", "theirs"))
    with pytest.raises(PanjError, match="version-conflict"):
        outbox.accept([draft(1, content="a third")])


def test_a_house_that_contradicts_what_it_receipted_changes_nothing(outbox: Outbox, clock: HandClock) -> None:
    accepted = outbox.accept([draft(1)])
    digests = digests_of(outbox)
    relay_all(outbox, clock)
    settle(outbox, accepted, digests)
    outbox.begin_recovery([HOUSE.urn], everything=True)
    tell(outbox, [held_by_house(draft(9), accepted[0].epoch, 1)])
    assert outbox.recovery().houses[0].learned == 0
    assert outbox.accept([draft(1)])[0].event_id == accepted[0].event_id


def test_numbers_that_nobody_knows_are_holes_and_no_events(outbox: Outbox) -> None:
    outbox.accept(drafts(2))
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    tell(outbox, [held_by_house(draft(5), lost, 5), held_by_house(draft(7), lost, 7)])
    (depth,) = outbox.counts()
    assert (depth.accepted, depth.waiting, depth.settled) == (4, 2, 2)
    (row,) = [row for row in outbox.streams() if row.epoch == lost]
    assert (row.last_sequence, row.holes) == (7, 3)


def test_a_learned_event_that_is_held_is_settled_by_its_receipt_and_never_sent(outbox: Outbox, clock: HandClock) -> None:
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    entry = held_by_house(draft(1), lost, 1, fate=Fate.HELD)
    tell(outbox, [entry])
    clock.turn(24 * 3600)
    assert outbox.relayed(HOUSE.urn) == []
    assert outbox.waiting(HOUSE.urn, 10, 10**6) == []
    assert outbox.counts()[0].held == 1
    digest = digest_of(f"{draft(1).reference} 1".encode())
    outbox.record(Occurrences(settlements=[Settlement(entry["id"], digest, HOUSE.urn, Fate.LOADED)]))
    assert outbox.counts()[0].settled == 1


def test_a_house_that_is_named_no_more_is_not_waited_for(outbox: Outbox) -> None:
    outbox.begin_recovery([HOUSE.urn, OTHER.urn])
    tell(outbox, [])
    assert outbox.begin_recovery([HOUSE.urn]).life.recovering is False
    assert outbox.accept([draft(1)])[0].sequence == 1


def test_lives_that_only_the_house_remembers_are_known_from_then_on(outbox: Outbox) -> None:
    outbox.begin_recovery([HOUSE.urn])
    tell(outbox, [held_by_house(draft(1), "00000000000000aa", 1)])
    assert "00000000000000aa" in outbox.epochs()


def test_a_second_recovery_starts_from_what_the_first_one_learned(outbox: Outbox) -> None:
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    first = held_by_house(draft(1), lost, 1)
    tell(outbox, [first])
    (accepted,) = outbox.accept([draft(2)])
    outbox.suspect("set back again")
    outbox.begin_recovery([HOUSE.urn], everything=True)
    tell(outbox, [first, held_by_house(draft(2), accepted.epoch, 1), held_by_house(draft(1), accepted.epoch, 2)])
    assert outbox.accept([draft(1)])[0].duplicate
    assert outbox.accept([draft(2)])[0].duplicate
    assert outbox.is_quiet()


def test_a_withdrawn_event_whose_place_is_taken_stays_withdrawn_under_its_new_name(outbox: Outbox, clock: HandClock) -> None:
    lost = outbox.epoch
    outbox.accept([draft(1)])
    relay_all(outbox, clock)
    outbox.withdraw(WithdrawalWish(draft(1).reference, "wrong truck"), "amina")
    outbox.begin_recovery([HOUSE.urn])
    tell(outbox, [held_by_house(draft(8), lost, 1)])
    assert outbox.waiting(HOUSE.urn, 10, 10**6) == []
    (row,) = outbox.tombstones(HOUSE.urn, 10)
    said = json.loads(row.raw)["data"]
    (event,) = [row for row in outbox.rows_of(draft(1).reference) if not row.learned]
    assert (said["id"], said["epoch"], said["sequence"], said["reason"]) == (event.event_id, outbox.epoch, 1, "wrong truck")


def test_what_was_withdrawn_in_the_forgotten_time_is_not_accepted_again(outbox: Outbox) -> None:
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    problems = [{"code": "withdrawn", "text": "withdrawn by its sender"}]
    tell(outbox, [held_by_house(draft(1), lost, 1, fate=Fate.REFUSED, content=None, problems=problems)])
    with pytest.raises(ConflictError, match="version-withdrawn"):
        outbox.accept([draft(1)])
    assert outbox.tombstones(HOUSE.urn, 10) == []
    assert outbox.accept([draft(1, version=2)])[0].sequence == 1


def test_a_learned_event_that_is_held_may_be_withdrawn(outbox: Outbox) -> None:
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    entry = held_by_house(draft(1), lost, 1, fate=Fate.HELD)
    tell(outbox, [entry])
    outbox.withdraw(WithdrawalWish(draft(1).reference, "wrong truck"), "amina")
    (row,) = outbox.tombstones(HOUSE.urn, 10)
    assert json.loads(row.raw)["data"]["id"] == entry["id"]
