"""`panj customs` as an operator types it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from consumers import migrations
from consumers.commands import commands
from consumers.database import open_engine
from consumers.pipeline import Pipeline
from consumers.registry import Consumer
from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from schemas.errors import UsageError
from tests.integration.consumers.frontier import Frontier, declaration
from tests.integration.consumers.test_fates import load_unless_cursed


@dataclass
class Desk:
    """An operator's desk: a settings file, and a way to type."""

    config: Path
    url: str

    def type(self, *words: str) -> Result:
        """Type `panj customs …`."""
        return CliRunner().invoke(commands, [*words, "--config", str(self.config)])


def without_password(url: str, file: Path) -> str:
    """The URL as settings may have it: the password in a file."""
    parsed = make_url(url)
    if parsed.password is None:
        return url
    file.write_text(f"*:*:*:*:{parsed.password}")
    file.chmod(0o600)
    bare = url.replace(f":{parsed.password}@", "@")
    return f"{bare}?passfile={file}"


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


def test_a_declaration_held_and_parked_rows_are_shown(desk: Desk, frontier: Frontier, record: Consumer, pipeline: Pipeline) -> None:
    engine = open_engine(desk.url)
    migrations.make_ready(engine)
    cursed = Consumer("record", record.types, 500, load_unless_cursed, __name__)
    house = Pipeline(cursed, engine, frontier.trust, frontier.expected, pipeline.stop)
    raws = [frontier.post.event(declaration("c1")), frontier.post.event(declaration("c2", local_reference="cursed"))]
    (sound,) = frontier.deliveries(raws)
    house.process([sound])
    shown = json.loads(desk.type("declaration", "TJ/TJPNJ/2026/c1", "--json").stdout)
    assert (shown["status"], shown["version"], len(shown["items"])) == ("in-force", 1, 3)
    assert "in-force" in desk.type("declaration", "TJ/TJPNJ/2026/c1").stdout
    assert desk.type("declaration", "TJ/TJPNJ/2026/none").exit_code == 1
    (held,) = json.loads(desk.type("held", "--json").stdout)
    assert held["reference"] == "TJ/TJPNJ/2026/c2"
    assert "1 held events" in desk.type("held", "--retry", "all").stdout
    assert "told within seconds" in desk.type("held", "--refuse", held["event_id"], "--reason", "not ours").stdout
    assert isinstance(desk.type("held", "--refuse", held["event_id"], "--reason", "again").exception, UsageError)
    assert "Nothing is parked" in desk.type("parked").stdout
