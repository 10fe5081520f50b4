"""`panj customs follow` as an operator types it, and what `panj status` tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from broker import audit, logs
from broker.settings.load import load_settings
from consumers.commands import commands
from consumers.operations import observe
from consumers.pipeline import Pipeline
from consumers.tables import audit as trail
from tests.integration.consumers.frontier import Frontier, declaration
from tests.integration.consumers.office import Office

FOLLOWER = """
[[house.followers]]
name = "asycuda"
kind = "asycuda-files"
types = ["customs.export-declaration.v1"]
purpose = "customs-control"
folder = "import"
office = "SHE01"

[posts."""


@pytest.fixture
def config(office: Office) -> Path:
    """The house's settings, with a follower."""
    office.config.write_text(office.config.read_text().replace("\n[posts.", FOLLOWER, 1))
    (office.config.parent / "import").mkdir()
    return office.config


def typed(config: Path, *words: str) -> Result:
    logs.configure("console", "error")  # as the frame of all commands does: not to standard output
    return CliRunner().invoke(commands, ["follow", *words, "--config", str(config)])


def test_an_operator_looks_carries_on_and_has_it_done_again(config: Path, pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    folder = config.parent / "import"
    pipeline.process(frontier.deliveries([frontier.post.event(declaration(name)) for name in ("S1", "S2")]))
    waiting = json.loads(typed(config, "now", "--dry-run", "--json").stdout)
    assert [row["reference"] for row in waiting] == ["TJ/TJPNJ/2026/S1", "TJ/TJPNJ/2026/S2"]
    assert list(folder.iterdir()) == []
    (folder / "TJ+TJPNJ+2026+S2+v1.xml").write_text("foreign")
    done = typed(config, "now", "--json")
    assert done.exit_code == 1
    assert [(row["outcome"], row["code"]) for row in json.loads(done.stdout)] == [("written", None), ("failed", "follow-file-exists")]
    (stands,) = json.loads(typed(config, "status", "--json").stdout)
    assert (stands["behind"], stands["outcomes"]["written"], stands["failed"][0]["reference"]) == (0, 1, "TJ/TJPNJ/2026/S2")
    assert "take it away" in typed(config, "status", "asycuda").stdout.replace("\n", " ")
    told = {reading.name: reading for reading in observe(load_settings(config)) if "follower asycuda" in reading.subject}
    assert (told["behind"].value, told["not written"].value) == (0, 1)

    for path in folder.iterdir():
        path.unlink()  # the folder was lost
    assert json.loads(typed(config, "again", "asycuda", "--since", "2026-01-01", "--dry-run", "--json").stdout)["events"] == 2
    assert typed(config, "again", "asycuda", "--since", "2026-01-01", "--reason", "the share was lost").exit_code == 0
    assert typed(config, "now").exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["TJ+TJPNJ+2026+S1+v1.xml", "TJ+TJPNJ+2026+S2+v1.xml"]
    with engine.connect() as connection:
        acts = [(entry.action, entry.subject, entry.reason) for entry in audit.entries(connection, trail)]
    read = ("record.read", "follower asycuda", "")
    assert acts == [read, ("follower.set_back", "asycuda", "the share was lost"), read]


def test_metrics_are_printed_or_written_into_a_file_whole(config: Path, pipeline: Pipeline, frontier: Frontier) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("S1"))]))
    said = typed(config, "metrics")
    assert said.exit_code == 0
    assert 'panj_follower_behind_events{unit="af-customs",follower="asycuda"} 1.0\n' in said.stdout
    typed(config, "now")
    place = config.parent / "panj-followers.prom"
    assert typed(config, "metrics", "--out", str(place)).stdout == ""
    assert 'panj_follower_events{unit="af-customs",follower="asycuda",outcome="written"} 1.0\n' in place.read_text()
    assert "panj_follower_last_success_timestamp_seconds{" in place.read_text()
    assert place.stat().st_mode & 0o044 == 0o044  # the collector is another user


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("status", "nobody"), "follower-unknown"),
        (("again", "asycuda", "--reason", "x"), "follow-choice"),
        (("again", "asycuda", "--all", "--failed", "--reason", "x"), "follow-choice"),
        (("again", "asycuda", "--all"), "reason-missing"),
    ],
)
def test_a_wrong_word_changes_nothing_and_is_told(config: Path, words: tuple[str, ...], code: str) -> None:
    assert code in str(typed(config, *words).exception)


def test_settings_that_cannot_be_followed_are_refused(config: Path) -> None:
    config.write_text(config.read_text().replace('office = "SHE01"\n', ""))
    assert "office is needed" in str(typed(config, "status").exception)
