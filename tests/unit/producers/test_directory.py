"""The watched directory over a real outbox: good files are taken, odd ones told, half ones left, and nothing is lost or overwritten."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.outbox.store import Outbox
from broker.settings.model import Settings
from producers.formats.canonical_json import FORMAT, OBJECT_BYTES
from producers.formats.registry import Reader
from producers.intake import Intake
from producers.sources import files
from producers.sources.directory import AGAIN_SECONDS, SETTLED_SECONDS, WatchedDirectory
from schemas.errors import SettingsError
from schemas.names import house_of
from tests.unit.producers.examples import EXPORT, export


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(settings: Settings) -> Path:
    return settings.posts["panji-poyon"].watch


@pytest.fixture
def directory(path: Path, intake: Intake, clock: Clock) -> WatchedDirectory:
    return WatchedDirectory(path, intake, Reader((FORMAT,)), clock=clock)


def put(path: Path, name: str, number: str | None = None, **changes: Any) -> Path:
    file = path / name
    file.write_text(json.dumps({"type": EXPORT, "declaration": export(number or name.split(".", maxsplit=1)[0], **changes)}), "utf-8")
    return file


def numbers(outbox: Outbox) -> list[str]:
    return [json.loads(row.raw)["data"]["registration_number"] for row in outbox.waiting(house_of("af").urn, 100_000, 10**9)]


def names(directory: Path) -> list[str]:
    """All files below, without their reasons."""
    found = (each for each in directory.rglob("*") if not each.is_dir() and not each.name.endswith(".reason.json"))
    return sorted(each.name for each in found)


def reason(path: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "rejected" / f"{name}.reason.json").read_text("utf-8"))
    return found


def codes(path: Path, name: str) -> list[str]:
    return [problem["code"] for problem in reason(path, name)["problems"]]


def test_files_are_accepted_in_their_order_and_moved_to_taken(path: Path, directory: WatchedDirectory, outbox: Outbox) -> None:
    for age, name in enumerate(["c.json", "a.json", "b.json"]):
        os.utime(put(path, name), ns=(0, 10**18 + age // 2))
    turn = directory.turn()
    assert (turn.taken, turn.accepted) == (3, 3)
    assert numbers(outbox) == ["a", "c", "b"]
    assert names(path / "taken") == ["a.json", "b.json", "c.json"]
    assert [each.name for each in path.iterdir() if each.is_file()] == []


def test_whoever_waits_is_told_of_what_is_new_and_not_of_what_was_there(path: Path, directory: WatchedDirectory) -> None:
    told: list[bool] = []
    put(path, "1.json")
    directory.turn(on_accepted=lambda: told.append(True))
    put(path, "1.json")
    assert directory.turn(on_accepted=lambda: told.append(True)).duplicates == 1
    assert told == [True]


def test_the_same_name_again_overwrites_nothing(path: Path, directory: WatchedDirectory, outbox: Outbox) -> None:
    for number in ("1", "2", "3"):
        put(path, "export.json", number)
        directory.turn()
    assert numbers(outbox) == ["1", "2", "3"]
    assert len(names(path / "taken")) == 3
    for _ in range(2):
        (path / "bad.json").write_text('{"type": 1, "declaration": {}}')
        directory.turn()
        directory._clock.now += SETTLED_SECONDS  # type: ignore[attr-defined]
        directory.turn()
    assert len(names(path / "rejected")) == 2
    assert len(list((path / "rejected").glob("*.reason.json"))) == 2


def test_a_crash_between_acceptance_and_move_makes_a_duplicate(path: Path, directory: WatchedDirectory, outbox: Outbox) -> None:
    file = put(path, "1.json")
    again = file.read_bytes()
    directory.turn()
    file.write_bytes(again)  # as it lies there after a crash before the rename
    turn = directory.turn()
    assert (turn.taken, turn.accepted, turn.duplicates) == (1, 1, 1)
    assert numbers(outbox) == ["1"]


def test_a_half_written_file_is_left_alone_until_it_is_whole(path: Path, directory: WatchedDirectory, outbox: Outbox, clock: Clock) -> None:
    whole = put(path, "1.json").read_bytes()
    for length in range(0, len(whole), 200):
        (path / "1.json").write_bytes(whole[:length])
        assert directory.turn().left == 1
        clock.now += SETTLED_SECONDS - 1
    assert numbers(outbox) == []
    (path / "1.json").write_bytes(whole)
    assert directory.turn().taken == 1
    assert numbers(outbox) == ["1"]


def test_a_file_that_stays_broken_is_rejected_with_its_reason(path: Path, directory: WatchedDirectory, clock: Clock) -> None:
    whole = put(path, "1.json").read_bytes()
    (path / "1.json").write_bytes(whole[:-10])
    assert not directory.turn()
    clock.now += SETTLED_SECONDS
    assert directory.turn().rejected == 1
    assert names(path / "rejected") == ["1.json"]
    told = reason(path, "1.json")
    assert told["file"] == "1.json"
    assert told["post"] == "urn:customs:tj:panji-poyon"
    assert told["problems"][0]["code"].startswith("json-")
    assert told["problems"][0]["what_to_do"]


def test_a_whole_file_with_bad_content_is_rejected_at_once_with_field_and_value(path: Path, directory: WatchedDirectory) -> None:
    bad = export("1")
    bad["items"][1]["hs_code"] = "12"
    (path / "1.json").write_text(json.dumps({"type": EXPORT, "declaration": bad}))
    assert directory.turn().rejected == 1
    (problem,) = reason(path, "1.json")["problems"]
    assert (problem["field"], problem["value"], problem["line"]) == ("items.1.hs_code", "12", None)


def test_files_that_belong_to_a_writer_are_not_touched(path: Path, directory: WatchedDirectory) -> None:
    for name in (".hidden.json", "1.json.part", "2.TMP", "3.json.tmp"):
        put(path, name, "1")
    (path / "archive").mkdir()
    put(path / "archive", "4.json")
    assert directory.turn() == type(directory.turn())()
    assert len(list(path.iterdir())) == 7  # with taken and rejected


def test_lines_of_objects_are_taken_when_nobody_writes_any_more(
    path: Path, directory: WatchedDirectory, outbox: Outbox, clock: Clock
) -> None:
    lines = [json.dumps({"type": EXPORT, "declaration": export(str(number))}) for number in range(1_203)]
    (path / "day.json").write_text("\n".join(lines[:2]))
    (path / "one.jsonl").write_text(lines[0])
    assert directory.turn().left == 2
    clock.now += SETTLED_SECONDS - 1
    (path / "day.json").write_text("\n".join(lines))
    assert directory.turn().left == 1
    clock.now += SETTLED_SECONDS
    turn = directory.turn()
    assert (turn.taken, turn.accepted, turn.duplicates) == (2, 1_204, 1)
    assert len(numbers(outbox)) == 1_203


def test_bad_lines_cost_only_themselves_and_are_named(path: Path, directory: WatchedDirectory, outbox: Outbox, clock: Clock) -> None:
    lines = [json.dumps({"type": EXPORT, "declaration": export(str(number))}) for number in range(1, 6)]
    lines[2] = lines[2][:-30]
    lines[3] = json.dumps({"type": EXPORT, "declaration": export("4", office_code="?")})
    (path / "day.jsonl").write_text("\n".join(lines))
    directory.turn()
    clock.now += SETTLED_SECONDS
    directory.turn()
    assert numbers(outbox) == ["1", "2", "5"]
    told = reason(path, "day.jsonl")
    assert told["accepted_from_this_file"] == 3
    assert [problem["line"] for problem in told["problems"]] == [3, 4]


def test_a_folder_of_rubbish_never_stops_the_good_files_in_the_middle(
    path: Path, directory: WatchedDirectory, outbox: Outbox, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    good = [f"{number:03}" for number in range(0, 600, 3)]
    for number in good:
        put(path, f"{number}.json", number)
    whole = (path / "000.json").read_bytes()
    rubbish = _rubbish(chance, whole)
    for place in range(1, 600, 3):
        (path / f"{place:03}.json").write_bytes(next(rubbish))
    _odd_entries(path, tmp_path)
    monkeypatch.setattr(files, "FILE_BYTES", OBJECT_BYTES * 2)
    (path / "301-huge.json").write_bytes(b" " * (OBJECT_BYTES * 2 + 1))
    for _ in range(3):
        directory.turn()
        clock.now += SETTLED_SECONDS
    assert sorted(numbers(outbox)) == good
    assert len(names(path / "taken")) == len(good)
    assert [each.name for each in path.iterdir() if not each.is_dir()] == []
    for bad in names(path / "rejected"):
        assert reason(path, bad)["problems"][0]["text"]
    assert codes(path, "301-link.json") == ["file-odd"]
    assert codes(path, "301-huge.json") == ["file-too-large"]
    assert (tmp_path / "outside.json").exists()
    assert (tmp_path / "outside.json").read_bytes() == whole


def _rubbish(chance: random.Random, whole: bytes) -> Iterator[bytes]:
    shapes: list[Callable[[], bytes]] = [
        lambda: chance.randbytes(500),
        lambda: whole[: chance.randrange(len(whole))],
        lambda: b"",
        lambda: b"[" * 50_000,
        lambda: b'{"type":"customs.export-declaration.v1","declaration":{"version":' + b"9" * 10_000 + b"}}",
        lambda: b'{"type":"customs.export-declaration.v1","declaration":' + b'{"a":' * 500 + b"1" + b"}" * 501,
        lambda: b'{"type":"customs.export-declaration.v1","declaration":{"office_code":1}}',
        lambda: b"<ASYCUDA><null/></ASYCUDA>",
        lambda: whole.replace(b'"tj"', b'"xx"'),
        lambda: b"\x1f\x8b" + whole,
        lambda: b"null",
        lambda: b'{"type": null, "declaration": null}',
        lambda: b"\n" * 5_000,
    ]
    while True:
        yield shapes[chance.randrange(len(shapes))]()


def _odd_entries(path: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_bytes((path / "000.json").read_bytes())
    (path / "301-link.json").symlink_to(tmp_path / "outside.json")
    (path / "301-dangling.json").symlink_to("nowhere")
    (path / "301-loop.json").symlink_to("301-loop.json")
    os.mkfifo(path / "301-pipe.json")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path / "301-socket"))
    (path / "301-directory.json").mkdir()
    (path / ("n" * 250 + ".json")).write_bytes(b"rubbish")
    with open(os.fsencode(path) + b"/301-\xff\xfe.json", "wb") as stream:
        stream.write(b"rubbish")
    (path / "301 -rf *; $(x)\n.json").write_bytes(b"rubbish")


def test_a_file_that_cannot_be_moved_is_tried_again_later_and_stays_one_event(
    path: Path, directory: WatchedDirectory, outbox: Outbox, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, "1.json")
    rename = os.rename

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    assert directory.turn().left == 1
    assert not directory.turn().left  # not looked at again at once
    monkeypatch.setattr(os, "rename", rename)
    clock.now += AGAIN_SECONDS
    assert directory.turn().taken == 1
    assert numbers(outbox) == ["1"]


def test_shelves_that_lead_elsewhere_are_refused(path: Path, intake: Intake, tmp_path: Path) -> None:
    path.mkdir()
    (path / "taken").symlink_to(tmp_path)
    with pytest.raises(SettingsError, match="link"):
        WatchedDirectory(path, intake, Reader((FORMAT,)))


def test_a_stop_ends_a_long_file_between_batches_and_nothing_is_lost(
    path: Path, directory: WatchedDirectory, outbox: Outbox, clock: Clock
) -> None:
    lines = [json.dumps({"type": EXPORT, "declaration": export(str(number))}) for number in range(1_100)]
    (path / "day.jsonl").write_text("\n".join(lines))
    directory.turn()
    clock.now += SETTLED_SECONDS
    stop = threading.Event()
    turn = directory.turn(stop, on_accepted=stop.set)
    assert turn.taken == 0
    assert len(numbers(outbox)) == 500
    assert (path / "day.jsonl").exists()
    assert directory.turn().duplicates == 500
    assert len(numbers(outbox)) == 1_100


def test_a_file_written_to_while_it_is_moved_comes_back_and_is_read_again(
    path: Path, directory: WatchedDirectory, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.dumps({"type": EXPORT, "declaration": export("1")}) + "\n"
    (path / "1.json").write_text(first)
    rename = os.rename

    def slow_rename(source: Path, place: Path) -> None:
        with source.open("a") as stream:
            stream.write(json.dumps({"type": EXPORT, "declaration": export("2")}) + "\n")
        monkeypatch.setattr(os, "rename", rename)
        rename(source, place)

    monkeypatch.setattr(os, "rename", slow_rename)
    assert directory.turn().left == 1
    assert (path / "1.json").read_text().count("\n") == 2
