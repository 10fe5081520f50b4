"""Sending named files once: what is read, accepted and told, without a broker."""

from __future__ import annotations

import json
import os
from pathlib import Path

from broker.outbox.values import EventFate
from broker.settings.model import Settings
from producers.formats.canonical_json import FORMAT
from producers.formats.registry import Reader
from producers.intake import Intake
from producers.sending import Sent, check_files, exit_code, parts_of_files, send_files
from schemas.fates import Fate
from tests.unit.producers.examples import EXPORT, IMPORT, export


def write(path: Path, number: str, event_type: str = EXPORT) -> Path:
    path.write_text(json.dumps({"type": event_type, "declaration": export(number)}), "utf-8")
    return path


def test_each_destination_of_each_declaration_is_told(tmp_path: Path, intake: Intake) -> None:
    files = [write(tmp_path / "1.json", "1"), write(tmp_path / "2.json", "2", IMPORT)]
    sent = send_files(parts_of_files(files, Reader((FORMAT,))), intake.accept)
    assert [(one.reference, one.destination) for one in sent] == [
        ("TJ/TJ105000/2026/1", "urn:customs:af:customs"),
        ("TJ/TJ105000/2026/1", "urn:customs:tj:customs"),
        ("TJ/TJ105000/2026/2", "urn:customs:tj:customs"),
    ]
    assert all(one.event_id for one in sent)
    assert files[0].exists()


def test_files_that_cannot_be_read_are_told_and_the_others_are_sent(tmp_path: Path, intake: Intake) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "link.json").symlink_to(write(tmp_path / "1.json", "1"))
    paths = [tmp_path / name for name in ("nothing", "pipe", "loop", ".", "bad.json", "link.json")]
    sent = send_files(parts_of_files(paths, Reader((FORMAT,))), intake.accept)
    codes = {Path(one.file).name: one.problems[0].code for one in sent if one.problems}
    assert codes == {
        "nothing": "file-unreadable",
        "pipe": "file-odd",
        "loop": "file-unreadable",
        tmp_path.name: "file-odd",
        "bad.json": "json-syntax",
    }
    assert [one.reference for one in sent if one.event_id] == ["TJ/TJ105000/2026/1"] * 2
    assert exit_code(sent, {}, answers_needed=False) == 1


def test_a_dry_run_tells_where_it_would_go_and_keeps_nothing(tmp_path: Path, settings: Settings) -> None:
    sent = check_files(parts_of_files([write(tmp_path / "1.json", "1")], Reader((FORMAT,))), settings)
    assert [one.destination for one in sent] == ["urn:customs:af:customs", "urn:customs:tj:customs"]
    assert not any(one.event_id for one in sent)
    assert not (tmp_path / "outbox.sqlite").exists()


def test_exit_codes_tell_loaded_refused_and_unanswered_apart() -> None:
    sent = [Sent("1.json", None, "r", 1, "urn:customs:af:customs", event_id) for event_id in ("a", "b")]

    def fates(**known: Fate) -> dict[str, EventFate]:
        return {name: EventFate(name, fate if fate.final else None, fate, (), None) for name, fate in known.items()}

    assert exit_code(sent, fates(a=Fate.LOADED, b=Fate.LOADED), answers_needed=True) == 0
    assert exit_code(sent, fates(a=Fate.LOADED, b=Fate.REFUSED), answers_needed=True) == 1
    assert exit_code(sent, fates(a=Fate.LOADED, b=Fate.HELD), answers_needed=True) == 3
    assert exit_code(sent, fates(a=Fate.LOADED), answers_needed=True) == 3
    assert exit_code(sent, {}, answers_needed=False) == 0
