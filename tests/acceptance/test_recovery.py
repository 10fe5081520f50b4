"""A post whose outbox was restored from an older copy, or lost: told at once, recovered by one command, everything balanced afterwards."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from schemas import examples
from tests.acceptance.world import World, wait_for

POST = "panji-poyon"


def outbox_of(world: World) -> Path:
    return world.lab.tj.directory / "var" / POST / "outbox.sqlite"


def copy_aside(world: World, place: Path) -> None:
    with closing(sqlite3.connect(outbox_of(world))) as source, closing(sqlite3.connect(place)) as copy:
        source.backup(copy)


def stop_post(world: World) -> None:
    world.lab.daemons[f"tj-{POST}"].terminate(20)


def remove_outbox(world: World) -> None:
    for suffix in ("", "-wal", "-shm"):
        outbox_of(world).with_name(outbox_of(world).name + suffix).unlink(missing_ok=True)


def put_in(world: World, count: int, seed: int) -> Sequence[tuple[str, dict[str, Any]]]:
    declarations = list(examples.varied("tj", "PNJ", count, seed))
    world.drop(world.lab.tj, POST, declarations)
    world.wait_quiet()
    return declarations


def log_of(world: World) -> str:
    return world.lab.daemons[f"tj-{POST}"].log.read_text()


def waiting_files(world: World) -> list[Path]:
    return list(world.lab.tj.watch(POST).glob("*.json"))


def test_an_outbox_put_back_from_a_copy_accepts_nothing_until_it_has_recovered(world: World, tmp_path: Path) -> None:
    put_in(world, 30, 71)
    copy_aside(world, tmp_path / "yesterday")
    forgotten = put_in(world, 40, 72)
    stop_post(world)
    remove_outbox(world)
    shutil.copy(tmp_path / "yesterday", outbox_of(world))
    world.lab.spawn_post(world.lab.tj, POST)
    world.drop(world.lab.tj, POST, examples.varied("tj", "PNJ", 1, 73))
    wait_for("intake says why it waits", lambda: "outbox-restored" in log_of(world))
    assert waiting_files(world)
    said = world.panj(world.lab.tj, "post", "send", str(waiting_files(world)[0]), "--post", POST)
    assert said.code == 3
    assert "outbox-restored" in said.err
    assert 'run "panj post recover"' in said.err
    status = world.panj(world.lab.tj, "status", "--json").document
    assert ("acceptance", "act") in {(reading["name"], reading["attention"]) for reading in status["readings"]}
    looked = world.panj(world.lab.tj, "post", "recover", "--post", POST, "--dry-run", "--json").document
    assert "had been accepted" in looked["because"]

    done = world.panj(world.lab.tj, "post", "recover", "--post", POST, "--reason", "disk restored", "--timeout", "60", "--json")
    assert done.code == 0, done.err
    assert done.document["recovered"]
    assert sum(house["learned"] for house in done.document["houses"]) == 40
    wait_for("intake goes on", lambda: not waiting_files(world), 60)
    world.drop(world.lab.tj, POST, forgotten)
    world.wait_quiet()
    there = world.tallies()[0]
    assert there.balanced
    assert loaded_once(world)


def test_a_recovery_that_is_killed_again_and_again_goes_on_where_it_was(world: World) -> None:
    declarations = put_in(world, 60, 74)
    stop_post(world)
    remove_outbox(world)
    lost = world.lab.spawn_post(world.lab.tj, POST)
    wait_for("the post says that its outbox is lost", lambda: "outbox-lost" in lost.log.read_text())
    command = [sys.executable, "-m", "broker.operations.cli", "post", "recover", "--post", POST, "--config", str(world.lab.tj.config)]
    for seconds in (0.9, 1.1, 1.3):
        recovering = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)  # somewhere in the middle of it: no condition, the point is that none matters
        recovering.send_signal(signal.SIGKILL)
        recovering.wait(20)
    done = world.panj(world.lab.tj, "post", "recover", "--post", POST, "--timeout", "60", "--json", "--force")
    assert done.code == 0, done.err
    world.lab.spawn_post(world.lab.tj, POST)
    world.drop(world.lab.tj, POST, declarations)
    world.wait_quiet()
    assert world.tallies()[0].balanced
    assert loaded_once(world)


def test_a_post_whose_disk_died_is_rebuilt_from_its_stick(world: World) -> None:
    stick = Path(tempfile.mkdtemp(prefix="panj-stick-", dir="/dev/shm"))
    try:
        stop_post(world)
        with_stick(world, stick)
        world.lab.spawn_post(world.lab.tj, POST)
        put_in(world, 20, 75)
        world.lab.cut()
        declarations = list(examples.varied("tj", "PNJ", 25, 76))
        world.drop(world.lab.tj, POST, declarations)
        wait_for("all is accepted", lambda: not waiting_files(world))
        status = world.panj(world.lab.tj, "status", "--json").document
        assert ("second copy", "whole") in {(reading["name"], reading["value"]) for reading in status["readings"]}
        (sent,) = world.panj(world.lab.tj, "post", "send", str(taken(world)[0]), "--post", POST, "--json").document["declarations"]
        assert (sent["duplicate"], sent["copies"]) == (True, 2)
        world.lab.daemons[f"tj-{POST}"].kill()
        remove_outbox(world)
        for file in outbox_of(world).parent.glob("outbox.sqlite*"):
            file.unlink()
        world.lab.mend()
        looked = world.panj(world.lab.tj, "post", "restore", "--from", str(stick), "--post", POST, "--dry-run", "--json").document
        assert looked["events"] >= 25
        restore = ("post", "restore", "--from", str(stick), "--post", POST, "--reason", "the disk died", "--timeout", "60", "--json")
        done = world.panj(world.lab.tj, *restore)
        assert done.code == 0, done.err
        assert done.document["recovered"]
        assert done.document["copy"]["put_in"] >= 25
        world.lab.spawn_post(world.lab.tj, POST)
        world.wait_quiet()
        assert world.tallies()[0].balanced
        assert loaded_once(world)
    finally:
        shutil.rmtree(stick, ignore_errors=True)


def with_stick(world: World, stick: Path) -> None:
    config = world.lab.tj.config
    head = f"[posts.{POST}]\n"
    config.write_text(config.read_text().replace(head, f'{head}second_copy = "{stick}"\n'))


def taken(world: World) -> list[Path]:
    return sorted((world.lab.tj.watch(POST) / "taken").rglob("*.json"))


def loaded_once(world: World) -> bool:
    query = "SELECT count(*), count(DISTINCT reference || ' ' || version) FROM inbox WHERE source LIKE 'urn:customs:tj:%'"
    ((events, names),) = world.rows(world.lab.af, query)
    return bool(events == names)
