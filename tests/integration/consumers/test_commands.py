"""`panj customs` as an operator types it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from broker import audit
from consumers import migrations
from consumers.commands import commands
from consumers.pipeline import Pipeline
from consumers.tables import audit as trail
from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from tests.integration.consumers.frontier import Frontier, declaration
from tests.integration.consumers.office import without_password


@dataclass
class Desk:
    """An operator's desk: a settings file, and a way to type."""

    config: Path
    url: str

    def type(self, *words: str) -> Result:
        """Type `panj customs …`."""
        return CliRunner().invoke(commands, [*words, "--config", str(self.config)])


@pytest.fixture
def desk(tmp_path: Path, url: str) -> Desk:
    """The Afghan customs house's."""
    afghan, tajik = Administration(AFGHAN, tmp_path / "af"), Administration(TAJIK, tmp_path / "tj")
    afghan.befriend(tajik)
    database = without_password(url, tmp_path / "pgpass")
    nowhere = "http://127.0.0.1:1"
    afghan.write_settings(amqps_port=1, management_url=nowhere, database=database, partner="tj", partner_port=1, timing=Timing())
    return Desk(afghan.config, url)


def test_a_database_is_upgraded_told_and_taken_back(desk: Desk) -> None:
    assert desk.type("database", "current").exit_code == 1
    assert migrations.newest_revision() in desk.type("database", "upgrade").stdout
    assert desk.type("database", "current").exit_code == 0
    assert "inbox_0001" in desk.type("database", "downgrade", "inbox_0001", "--yes").stdout
    assert desk.type("database", "current").exit_code == 1


def test_a_declaration_is_shown_as_it_stands(desk: Desk, frontier: Frontier, pipeline: Pipeline) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("c1"))]))
    shown = json.loads(desk.type("declaration", "TJ/TJPNJ/2026/c1", "--json").stdout)
    assert (shown["status"], shown["version"], len(shown["items"])) == ("in-force", 1, 3)
    assert "in-force" in desk.type("declaration", "TJ/TJPNJ/2026/c1").stdout
    assert desk.type("declaration", "TJ/TJPNJ/2026/none").exit_code == 1


def test_a_declaration_is_shown_for_its_purpose_only_and_who_read_it_is_written_down(
    desk: Desk, frontier: Frontier, pipeline: Pipeline, engine: Engine
) -> None:
    pipeline.process(frontier.deliveries([frontier.post.event(declaration("c2"))]))
    assert desk.type("declaration", "TJ/TJPNJ/2026/c2", "--purpose", "customs-control").exit_code == 0
    hidden = desk.type("declaration", "TJ/TJPNJ/2026/c2", "--purpose", "statistics")
    assert hidden.exit_code == 1
    assert "Bodom Export" not in hidden.output
    with engine.connect() as connection:
        told = [(entry.action, entry.subject, json.loads(entry.detail)) for entry in audit.entries(connection, trail)]
    reference = {"reference": "TJ/TJPNJ/2026/c2"}
    assert told == [
        ("record.read", "declaration", {"purposes": "customs-control", "rows": 1, "chosen": reference}),
        ("record.read", "declaration", {"purposes": "statistics", "rows": 0, "chosen": reference}),
    ]
