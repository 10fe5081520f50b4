"""A post whose national system writes tables: the watched directory takes them by the mapping file that exchange.toml names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from broker.outbox.store import Outbox
from broker.settings.model import Settings
from producers.examination import examine
from producers.formats.registry import reader_of
from producers.intake import Intake
from producers.sources.directory import SETTLED_SECONDS, WatchedDirectory
from schemas.errors import SettingsError
from schemas.names import house_of

MAPPING = """
type = "customs.export-declaration.v1"
[rows]
one_is = "item"
key = ["No"]
[columns]
No = "registration_number"
Date = "registered_on"
HS = "items[].hs_code"
Goods = "items[].description"
"""
GOOD = "No;Date;HS;Goods\n1;2026-03-01;252329;cement\n1;2026-03-01;252210;lime\n2;2026-03-01;252329;cement\n"


@pytest.fixture
def mapped(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of the post, with a mapping file, an office and the file's own place."""
    mapping = tmp_path / "columns.toml"
    mapping.write_text(MAPPING)
    post = settings.posts["panji-poyon"]
    reading = post.reading.model_copy(update={"columns": mapping, "office": "TJ020"})
    return settings.model_copy(update={"posts": {"panji-poyon": post.model_copy(update={"reading": reading})}})


def test_a_table_is_taken_once_nobody_writes_it_any_more_and_its_bad_rows_are_told(
    mapped: Settings, intake: Intake, outbox: Outbox
) -> None:
    now = 1000.0
    post = mapped.posts["panji-poyon"]
    reader = reader_of(post.reading, administration="tj", time_zone="Asia/Dushanbe")
    directory = WatchedDirectory(post.watch, intake, reader, clock=lambda: now)
    (post.watch / "march.csv").write_text(GOOD + "3;2026-03-01;2523;cement\n")
    assert directory.turn().accepted == 0, "somebody may still be writing it"
    now += SETTLED_SECONDS + 1
    assert directory.turn().accepted == 2
    waiting = [json.loads(row.raw)["data"] for row in outbox.waiting(house_of("af").urn, 100, 10**9)]
    assert [(each["registration_number"], len(each["items"])) for each in waiting] == [("1", 2), ("2", 1)]
    reason = json.loads((post.watch / "rejected" / "march.csv.reason.json").read_text())
    assert reason["accepted_from_this_file"] == 2
    assert [(each["code"], each["path"], each["line"], each["value"]) for each in reason["problems"]] == [
        ("field-invalid", "HS", 5, "2523")
    ]


def test_a_mapping_file_that_is_wrong_is_found_before_the_post_runs(mapped: Settings) -> None:
    assert all(finding.good for finding in examine(mapped, "panji-poyon") if finding.what == "formats")
    columns = mapped.posts["panji-poyon"].reading.columns
    assert columns is not None
    columns.write_text(MAPPING.replace("registered_on", "registered"))
    (found,) = (finding for finding in examine(mapped, "panji-poyon") if finding.what == "formats")
    assert found.exit_code == 2
    assert "columns.Date" in found.detail
    with pytest.raises(SettingsError, match="registered_on"):
        reader_of(mapped.posts["panji-poyon"].reading, administration="tj", time_zone=None)
