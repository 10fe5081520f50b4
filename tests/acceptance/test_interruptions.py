"""Daemons, brokers and databases that end in the middle of it: nothing is lost, nothing is loaded twice, and it goes on by itself."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import pytest

from schemas import examples
from schemas.names import EventType
from tests.acceptance.world import World, wait_for


def _settled(world: World) -> int:
    return world.tallies()[0].settled


def _more_settled(world: World, count: int) -> bool:
    there = world.tallies()[0]
    return there.settled >= count or (there.accepted > 0 and there.waiting == 0)


def test_a_post_killed_again_and_again_goes_on_where_it_was(world: World) -> None:
    world.drop(world.lab.tj, "panji-poyon", examples.varied("tj", "PNJ", 400, 1))
    for share in (20, 150, 300):
        before = _settled(world)
        wait_for("some of it is settled", partial(_more_settled, world, min(before + 20, share)))
        world.lab.daemons["tj-panji-poyon"].kill()
        world.lab.spawn_post(world.lab.tj, "panji-poyon")
    world.wait_quiet()
    assert world.tallies()[0].balanced


def test_a_house_killed_again_and_again_loads_each_event_once(world: World) -> None:
    world.drop(world.lab.tj, "panji-poyon", examples.varied("tj", "PNJ", 400, 2))
    for _ in range(2):
        before = _settled(world)
        wait_for("some more is settled", partial(_more_settled, world, before + 1))
        world.lab.daemons["af-customs"].kill()
        world.lab.spawn_house(world.lab.af)
    world.wait_quiet()
    there = world.tallies()[0]
    assert there.balanced
    kept = "SELECT event_id FROM declaration UNION ALL SELECT event_id FROM crossing_event"
    ((rows, events),) = world.rows(world.lab.af, f"SELECT count(*), count(DISTINCT event_id) FROM ({kept}) AS r")  # noqa: S608  constant
    assert rows == events


def test_two_house_processes_share_a_queue_and_load_each_event_once(world: World) -> None:
    second = world.lab.spawn(world.lab.af, "customs", "run", name="af-customs-second")
    wait_for("the second one runs", lambda: "house.started" in second.log.read_text())
    world.drop(world.lab.tj, "ishkoshim", examples.varied("tj", "ISK", 300, 3))
    world.drop(world.lab.tj, "panji-poyon", examples.varied("tj", "PNJ", 300, 3))
    world.wait_quiet()
    assert world.tallies()[0].balanced
    assert second.terminate(10) == 0


def test_daemons_told_to_stop_end_with_0_within_ten_seconds_in_the_middle_of_work(world: World) -> None:
    world.drop(world.lab.tj, "panji-poyon", examples.varied("tj", "PNJ", 300, 4))
    for name in ("tj-panji-poyon", "af-customs"):
        begun = time.monotonic()
        assert world.lab.daemons[name].terminate(15) == 0
        assert time.monotonic() - begun < 10
    world.lab.spawn_house(world.lab.af)
    world.lab.spawn_post(world.lab.tj, "panji-poyon")
    world.wait_quiet()
    assert world.tallies()[0].balanced


def test_a_broker_that_dies_and_comes_back_loses_nothing(world: World) -> None:
    world.drop(world.lab.tj, "panji-poyon", examples.varied("tj", "PNJ", 300, 5))
    node = world.lab.nodes["af"]
    node.kill()
    node.start()
    world.wait_quiet(90)
    assert world.tallies()[0].balanced


def test_the_house_waits_for_its_database_and_goes_on(world: World) -> None:
    postgres = world.lab.postgres
    if postgres is None:
        pytest.skip("SQLite has no server that could be away")
    postgres.kill()
    world.drop(world.lab.tj, "panji-poyon", examples.varied("tj", "PNJ", 50, 6))
    wait_for("the post has taken all files", lambda: not list(world.lab.tj.watch("panji-poyon").glob("*.json")))
    postgres.start()
    world.wait_quiet(90)
    there = world.tallies()[0]
    assert there.balanced
    assert there.held == 0


def test_a_house_killed_while_it_carries_on_gives_asycuda_each_declaration_once(world: World, tmp_path: Path) -> None:
    house, folder, taken = world.lab.af, tmp_path / "import", tmp_path / "taken"
    folder.mkdir()
    taken.mkdir()
    follower = {"name": "asycuda", "kind": "asycuda-files", "folder": str(folder), "office": "SHE01", "purpose": "customs-control"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in follower.items()]
    before = house.config.read_text()
    table = "\n".join(["[[house.followers]]", f'types = ["{EventType.EXPORT_DECLARATION.value}"]', *lines, "", "[posts."])
    house.config.write_text(before.replace("[posts.", table, 1))
    imported: list[str] = []

    def import_files() -> int:
        for path in folder.glob("*.xml"):  # as ASYCUDA does: what it has taken is not there any more
            imported.append(path.name)
            path.rename(taken / path.name)
        return len(imported)

    world.drop(world.lab.tj, "panji-poyon", ((EventType.EXPORT_DECLARATION, examples.export("tj", "PNJ", f"F{n}")) for n in range(150)))
    try:
        for share in (20, 90):
            world.lab.daemons["af-customs"].kill()
            world.lab.spawn_house(house)
            wait_for("some of it is imported", lambda share=share: import_files() >= share)  # type: ignore[misc]
        world.wait_quiet()
        ((loaded,),) = world.rows(house, "SELECT count(*) FROM declaration WHERE kind = 'export' AND administration = 'tj'")
        wait_for("all of it is imported", lambda: import_files() >= loaded)
        said = world.panj(house, "customs", "follow", "status", "--json")
        assert (said.code, said.document[0]["behind"], said.document[0]["outcomes"]["written"]) == (0, 0, loaded)
        assert len(imported) == len(set(imported)) == loaded
        assert not list(folder.iterdir())
    finally:
        house.config.write_text(before)
        world.lab.daemons["af-customs"].kill()
        world.lab.spawn_house(house)
