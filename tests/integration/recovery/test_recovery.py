"""An outbox that was set back or replaced, from being found out to everything being balanced again: both sides' own code."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.bundle.lines import expand
from broker.outbox.values import Acceptance
from schemas.errors import ConflictError, UnavailableError
from tests.integration.recovery.world import HOUSE, Authorities, World, arrival, export, world_at


def names(accepted: list[Acceptance]) -> list[tuple[str, int]]:
    return sorted((each.reference, each.version) for each in accepted)


def refused(world: World) -> str:
    with pytest.raises(UnavailableError) as caught:
        world.accept(export(999))
    return caught.value.code


def test_a_beacon_finds_out_an_outbox_that_was_set_back(world: World, tmp_path: Path) -> None:
    world.accept(export(1))
    world.settle()
    world.copy_aside(tmp_path / "yesterday")
    world.accept(export(2), export(3))
    world.settle()
    world.put_back(tmp_path / "yesterday")
    world.turn(61)
    world.turn()
    assert refused(world) == "outbox-restored"
    world.close_post()
    world.open_post()
    assert refused(world) == "outbox-restored"


def test_a_beacon_finds_out_an_outbox_that_was_replaced(world: World) -> None:
    world.accept(export(1))
    world.settle()
    world.close_post()
    world.lose()
    world.open_post()
    world.turn(11)
    world.turn(11)
    assert refused(world) == "outbox-restored"


def test_after_recovery_everything_is_balanced_and_what_is_put_in_again_is_recognised(world: World, tmp_path: Path) -> None:
    before = world.accept(export(1), arrival(1))
    world.settle()
    world.accept(export(2))  # on its way when the copy is made
    world.post_turn()
    world.copy_aside(tmp_path / "yesterday")
    lost = world.accept(export(3), arrival(3), export(1, version=2, message_function="amendment"))
    world.settle()
    world.put_back(tmp_path / "yesterday")
    world.recover(reason="disk restored from backup")
    again = world.accept(export(1), arrival(1), export(2), export(3), arrival(3), export(1, version=2, message_function="amendment"))
    assert all(each.duplicate for each in again)
    assert [each.event_id for each in again[3:]] == [each.event_id for each in lost]
    assert again[0].event_id == before[0].event_id
    new = world.accept(export(4))
    assert (new[0].sequence, new[0].epoch) == (1, world.outbox.epoch)
    world.settle()
    assert world.loaded() == world.taken_in() == names([*again, *new])
    assert world.parked() == []
    (depth,) = world.outbox.counts()
    assert (depth.accepted, depth.settled, depth.receipts_mismatched) == (7, 7, 0)


def test_a_replaced_outbox_learns_everything(world: World) -> None:
    accepted = world.accept(*(export(number) for number in range(1, 8)), arrival(1))
    world.settle()
    world.close_post()
    world.lose()
    world.open_post()
    world.recover(everything=True)
    assert all(each.duplicate for each in world.accept(*(export(number) for number in range(1, 8)), arrival(1)))
    world.settle()
    assert world.loaded() == world.taken_in() == names(accepted)


def test_nothing_leaves_for_a_house_before_it_has_told_what_it_holds(world: World, tmp_path: Path) -> None:
    world.accept(export(1))
    world.copy_aside(tmp_path / "yesterday")
    world.put_back(tmp_path / "yesterday")
    world.outbox.begin_recovery([HOUSE.urn])
    world.ours.cut()
    for _ in range(5):
        world.post_turn(11)
    assert world.outbox.counts()[0].waiting == 1
    assert refused(world) == "outbox-recovering"
    world.ours.mend()
    world.settle()
    assert world.loaded() == [("TJ/TJPNJ/2026/1", 1)]


def test_what_was_accepted_before_it_was_found_out_goes_out_again(world: World, tmp_path: Path) -> None:
    world.accept(export(1))
    world.settle()
    world.copy_aside(tmp_path / "yesterday")
    world.accept(export(2), export(3))
    world.settle()
    world.put_back(tmp_path / "yesterday")
    world.accept(export(4), export(5), export(6))  # the first two take the places of 2 and 3
    world.post_turn()
    world.house_turn()
    assert world.parked() == ["sequence-conflict", "sequence-conflict"]
    world.recover()
    world.accept(*(export(number) for number in range(1, 7)))
    world.settle()
    assert world.loaded() == world.taken_in() == [(f"TJ/TJPNJ/2026/{number}", 1) for number in range(1, 7)]


def test_what_was_still_on_its_way_when_the_house_told_all_is_learned_later(world: World, tmp_path: Path) -> None:
    world.accept(export(1))
    world.settle()
    world.copy_aside(tmp_path / "yesterday")
    world.accept(export(2), export(3))
    world.post_turn()  # over there, and not yet taken in
    world.put_back(tmp_path / "yesterday")
    world.accept(export(4))  # takes the place of 2
    world.post_turn()
    world.outbox.begin_recovery([HOUSE.urn])
    for _ in range(4):
        world.post_turn(11)
        world.house_turn(streams=False)
    assert world.outbox.recovery().waiting_for == ()
    world.house_turn()
    assert world.parked() == ["sequence-conflict"]
    for _ in range(100):
        world.turn(60)
    assert world.outbox.is_quiet()
    assert world.loaded() == [(f"TJ/TJPNJ/2026/{number}", 1) for number in (1, 2, 3, 4)]
    assert all(each.duplicate for each in world.accept(export(2), export(3), export(4)))


def test_of_encrypted_events_the_brokers_learn_nothing_and_the_post_everything(tmp_path: Path, authorities: Authorities) -> None:
    with world_at(tmp_path, authorities, sealed=True) as world:
        accepted = world.accept(export(1), export(2), export(3, gross_mass_kg="heavy"))
        world.settle()
        world.close_post()
        world.lose()
        world.open_post()
        world.ours.declare("a broker's administrator", "#")
        heard = world.ours.broker().subscribe("a broker's administrator", 100)
        world.recover(everything=True)
        bodies = [expand(each.message.body, each.message.content_encoding) for each in heard.take(100, 0)]
        assert any(b"customs.recovery-answer.v1" in body for body in bodies)
        assert not any(name in body for body in bodies for name in (b"TJPNJ", b"heavy", b"field-invalid"))
        again = world.accept(export(1), export(2))
        assert [(each.duplicate, each.event_id) for each in again] == [(True, each.event_id) for each in accepted[:2]]
        (refused,) = world.outbox.fate_of([accepted[2].event_id])
        assert {problem.code for problem in refused.problems} == {"field-invalid"}
        with pytest.raises(ConflictError, match="version-conflict"):
            world.accept(export(1, gross_mass_kg="3752"))
        world.settle()
        assert world.loaded() == [("TJ/TJPNJ/2026/1", 1), ("TJ/TJPNJ/2026/2", 1)]


def test_an_encrypted_event_whose_place_is_taken_goes_out_again(tmp_path: Path, authorities: Authorities) -> None:
    with world_at(tmp_path, authorities, sealed=True) as world:
        world.copy_aside(tmp_path / "yesterday")
        world.accept(export(1))
        world.settle()
        world.put_back(tmp_path / "yesterday")
        world.accept(export(2))
        world.post_turn()
        world.house_turn()
        assert world.parked() == ["sequence-conflict"]
        world.recover()
        assert world.loaded() == [("TJ/TJPNJ/2026/1", 1), ("TJ/TJPNJ/2026/2", 1)]
        assert all(each.duplicate for each in world.accept(export(1), export(2)))


def test_a_relay_that_dies_between_two_pages_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.recovery.RECOVERY_ENTRIES", 3)
    world.accept(*(export(number) for number in range(1, 20)))
    world.settle()
    world.close_post()
    world.lose()
    world.open_post()
    world.outbox.begin_recovery([HOUSE.urn], everything=True)
    told = []
    for _ in range(60):
        world.turn(6)
        world.turn()
        world.close_post()
        world.open_post()
        told.append(world.outbox.recovery().houses[0].told)
        if not world.outbox.recovery().life.recovering:
            break
    assert told == sorted(told)
    assert told[-1] == 19
    assert all(each.duplicate for each in world.accept(*(export(number) for number in range(1, 20))))
