"""Accounts between posts and houses, closed as people ask for it: with daemons and without, after backups and wiped brokers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from broker.topology.apply import apply_topology
from deploy.lab.administrations import Administration
from deploy.lab.laboratory import laboratory
from schemas import examples
from tests.acceptance.world import World, wait_for

POST = "panji-poyon"


@pytest.fixture(scope="module")
def world(rabbitmq_installed: None) -> Iterator[World]:
    """One laboratory: what both databases do is tested with brokers in memory."""
    with laboratory("sqlite") as lab:
        lab.spawn_all()
        yield World(lab)


def database(side: Administration) -> Path:
    return side.directory / "var" / "house.sqlite"


def outbox_of(world: World) -> Path:
    return world.lab.tj.directory / "var" / POST / "outbox.sqlite"


def copied(source: Path, target: Path) -> None:
    """Copy an SQLite database as a backup does, also while it is used."""
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)


def changed(path: Path, statement: str, *values: Any) -> int:
    """Change a database behind everybody's back."""
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        return connection.execute(statement, values).rowcount


def sent(world: World, first: int, count: int) -> None:
    world.drop(world.lab.tj, POST, examples.varied("tj", "PNJ", count, first))
    world.wait_quiet()


def number_of(world: World) -> int:
    said = world.panj(world.lab.tj, "closings", "list", "--unit", f"tj-{POST}", "--with", "af-customs", "--json")
    return max((each["number"] for each in said.document if each["agreed"]), default=0) if said.code == 0 else 0


def test_an_account_is_closed_when_a_person_asks_and_both_sides_keep_and_verify_the_same_chain(world: World) -> None:
    sent(world, 1, 60)
    planned = world.panj(world.lab.tj, "reconcile", "--post", POST, "--dry-run", "--json")
    assert planned.code == 0, planned.err
    assert all(each["closing"] is None for each in planned.document)
    said = world.panj(world.lab.tj, "reconcile", "--post", POST, "--json", "--timeout", "60")
    assert said.code == 0, said.out + said.err
    (result,) = said.document
    assert (result["ended"], result["closing"], result["differences"]) == (True, 1, [])
    assert sum(stream["agreed"] for stream in result["streams"]) == sum(stream["compared"] for stream in result["streams"]) >= 1
    for side in world.lab.sides:
        verified = world.panj(side, "closings", "verify", "--json")
        assert verified.code == 0, verified.out
        assert {each["closings"] for each in verified.document if each["post"].endswith(POST)} == {1}
    ours, theirs = (world.panj(side, "closings", "show", "1", "--json").document[0] for side in world.lab.sides)
    assert (ours["manifest"]["event"], ours["answer"]["event"]) == (theirs["manifest"]["event"], theirs["answer"]["event"])
    trail = world.panj(world.lab.tj, "audit", "list", "--json").document
    assert "reconciliation.asked" in {entry["action"] for entry in trail}
    names = {reading["name"] for reading in world.panj(world.lab.tj, "status", "--json").document["readings"]}
    assert "last agreed closing, number 1" in names


def test_a_house_restored_from_an_older_copy_gets_back_what_it_lost_by_itself(world: World) -> None:
    lab = world.lab
    copy = lab.directory / "yesterday.sqlite"
    copied(database(lab.af), copy)
    before = world.tallies()[0].loaded
    sent(world, 1_000, 50)
    assert world.panj(lab.tj, "reconcile", "--post", POST, "--timeout", "60").code == 0
    assert lab.daemons["af-customs"].terminate(10) == 0
    for name in (database(lab.af).name, f"{database(lab.af).name}-wal", f"{database(lab.af).name}-shm"):
        (database(lab.af).parent / name).unlink(missing_ok=True)
    copied(copy, database(lab.af))
    assert world.tallies()[0].lost == 50
    number = number_of(world)
    lab.spawn_house(lab.af)  # nobody asks for anything: the beacon tells
    wait_for("the house has it all again", lambda: world.tallies()[0].loaded == before + 50)
    wait_for("it is closed anew", lambda: number_of(world) > number)
    world.wait_quiet()
    assert world.tallies()[0].balanced
    assert world.panj(lab.tj, "closings", "verify").code == 0
    at_the_house = world.panj(lab.af, "closings", "verify", "--json")
    assert at_the_house.code == 1
    (chain,) = [each for each in at_the_house.document if each["post"].endswith(POST)]
    assert (chain["gaps"], chain["faults"]) == ([[2, 2]], [])


def test_the_house_asks_its_posts_and_waits_for_their_closings(world: World) -> None:
    said = world.panj(world.lab.af, "reconcile", "--house", "--post", f"tj-{POST}", "--json", "--timeout", "60")
    assert said.code == 0, said.out + said.err
    (result,) = said.document
    assert (result["post"], result["ended"]) == (f"urn:customs:tj:{POST}", True)
    assert result["closing"] == number_of(world)


def test_without_a_daemon_the_command_closes_the_account_itself(world: World) -> None:
    number = number_of(world)
    assert world.lab.daemons[f"tj-{POST}"].terminate(10) == 0
    said = world.panj(world.lab.tj, "reconcile", "--post", POST, "--everything", "--timeout", "60")
    assert said.code == 0, said.out + said.err
    assert number_of(world) == number + 1
    world.lab.spawn_post(world.lab.tj, POST)


def test_no_answer_in_time_ends_with_3_and_a_manifest_lost_with_the_house_s_broker_is_repeated(world: World) -> None:
    lab = world.lab
    number = number_of(world)
    assert lab.daemons["af-customs"].terminate(10) == 0
    assert world.panj(lab.tj, "reconcile", "--post", POST, "--timeout", "5").code == 3
    node = lab.nodes["af"]
    node.kill()
    node.wipe()
    node.start()
    apply_topology(lab.af.settings)
    lab.spawn_house(lab.af)
    wait_for("the manifest was stated again and agreed to", lambda: number_of(world) == number + 1, 90)


def test_a_difference_names_both_sides_ids_and_a_changed_chain_is_seen(world: World) -> None:
    lab = world.lab
    source = f"urn:customs:tj:{POST}"
    place = "source = ? AND type = 'customs.export-declaration.v1' AND sequence = 3"
    ((event_id, digest),) = world.rows(lab.af, f"SELECT event_id, digest FROM inbox WHERE {place.replace('?', ':s')}", s=source)  # noqa: S608
    assert changed(database(lab.af), f"UPDATE inbox SET digest = zeroblob(32) WHERE {place}", source) == 1  # noqa: S608 - a constant
    said = world.panj(lab.tj, "reconcile", "--post", POST, "--json", "--timeout", "60")
    assert said.code == 1, said.out + said.err
    ((difference,),) = [each["differences"] for each in said.document if each["differences"]]
    assert (difference["sequence"], difference["what"]) == (3, "other")
    assert (difference["event_id"], difference["house_event_id"]) == (event_id, event_id)
    assert difference["house_digest"] == "A" * 43
    shown = world.panj(lab.tj, "reconcile", "--post", POST, "--timeout", "60")
    assert shown.code == 1
    assert event_id in shown.out
    at_the_house = world.panj(lab.af, "status", "--json").document["readings"]
    assert ("closing differs: other", 1) in {(each["name"], each["value"]) for each in at_the_house}
    assert changed(database(lab.af), f"UPDATE inbox SET digest = ? WHERE {place}", digest, source) == 1  # noqa: S608 - a constant
    assert world.panj(lab.tj, "reconcile", "--post", POST, "--timeout", "60").code == 0
    assert changed(outbox_of(world), "UPDATE closing SET manifest_jws = answer_jws WHERE number = 1") == 1
    verified = world.panj(lab.tj, "closings", "verify")
    assert verified.code == 1
    assert "BROKEN" in verified.out


def test_a_declaration_s_life_ends_in_a_closing_and_its_evidence_holds_it(world: World) -> None:
    lab = world.lab
    ((reference,),) = world.rows(
        lab.af, "SELECT reference FROM inbox WHERE source = :s AND fate = 'LOADED' LIMIT 1", s=f"urn:customs:tj:{POST}"
    )
    for side in lab.sides:
        steps = world.panj(side, "trace", reference, "--json").document
        assert "closed" in {step["what"] for step in steps}
