"""A post's disk is gone, and a second copy is there: what was accepted and never left is sent after all, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.outbox.copy_files import segments
from broker.outbox.copy_lines import CopiedEvent, decode_all
from broker.outbox.values import WithdrawalWish
from schemas.errors import UnavailableError
from tests.integration.recovery.world import HOUSE, World, arrival, export


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    return tmp_path / "stick"


def read(stick: Path) -> list[CopiedEvent]:
    return [event for file in segments(stick) for event in decode_all(file.read_bytes())[0]]


def names(*numbers: int) -> list[tuple[str, int]]:
    return sorted((f"TJ/TJPNJ/2026/{number}", 1) for number in numbers)


def test_what_never_left_a_disk_that_died_is_sent_from_the_second_copy(world: World, stick: Path) -> None:
    world.close_post()
    world.open_post(stick)
    assert {each.copies for each in world.accept(export(1), export(2))} == {2}
    world.settle()
    world.accept(export(3), arrival(3))
    world.post_turn()  # over there, and the answer does not come home any more
    world.house_turn()
    world.accept(export(4), arrival(4), export(5))
    world.outbox.withdraw(WithdrawalWish(export(5).reference, "wrong truck"), "amina")
    world.close_post()
    world.lose()
    world.open_post()
    for _ in range(2):  # twice, as one does who was interrupted
        restored = world.outbox.restore(read(stick), [HOUSE.urn], everything=True, reason="the disk died")
    assert (restored.put_in, restored.clashing) == (0, 0)
    with pytest.raises(UnavailableError, match="outbox-recovering"):
        world.accept(export(9))
    world.settle()
    again = world.accept(export(1), export(2), export(3), arrival(3), export(4), arrival(4))
    assert all(each.duplicate for each in again)
    new = world.accept(export(6))
    assert (new[0].sequence, new[0].epoch) == (1, world.outbox.epoch)
    world.settle()
    loaded = sorted([*names(1, 2, 3, 4, 6), (arrival(3).reference, 1), (arrival(4).reference, 1)])
    assert world.loaded() == loaded
    assert world.taken_in() == sorted([*loaded, *names(5)])
    assert world.parked() == []
    (depth,) = world.outbox.counts()
    assert (depth.accepted, depth.settled) == (8, 8)
    assert depth.refused == 1  # the withdrawn one


def test_an_older_copy_of_the_file_gets_back_what_the_second_copy_holds(world: World, stick: Path, tmp_path: Path) -> None:
    world.close_post()
    world.open_post(stick)
    world.accept(export(1))
    world.copy_aside(tmp_path / "yesterday")
    world.accept(export(2))
    world.settle()
    world.accept(export(3))
    world.put_back(tmp_path / "yesterday")
    restored = world.outbox.restore(read(stick), [HOUSE.urn], everything=False, reason="yesterday's file was put back")
    assert restored.put_in == len({event.event_id for event in read(stick)}) - 1
    world.settle()
    assert world.loaded() == names(1, 2, 3)
    assert all(each.duplicate for each in world.accept(export(1), export(2), export(3)))


def test_what_clashes_is_told_and_left_in_the_copy(world: World, stick: Path, tmp_path: Path) -> None:
    world.close_post()
    world.open_post(stick)
    world.copy_aside(tmp_path / "yesterday")
    world.accept(export(1))
    world.put_back(tmp_path / "yesterday")
    world.accept(export(2))  # before it was found out, at the same place of the stream
    restored = world.outbox.restore(read(stick), [HOUSE.urn], everything=False, reason="yesterday's file was put back")
    assert (restored.put_in, restored.clashing) == (0, 1)
    world.settle()
    assert world.loaded() == names(2)
    world.accept(export(1))  # from taken/
    world.settle()
    assert world.loaded() == names(1, 2)
