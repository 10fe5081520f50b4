"""`panj suspend` as operators type it: what is refused, what is written where, and how it is listed and ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from broker.operations.contributions import Attention
from broker.operations.observe import observe_post
from broker.operations.suspend import commands
from broker.outbox.store import Outbox
from consumers import migrations
from consumers.clock import now_utc
from consumers.database import open_engine
from consumers.intake import IntakeBook
from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from schemas.errors import PanjError
from tests.unit.outbox.drafts import EXPORT, drafts


@dataclass
class Desk:
    """A Tajik operator's desk: two posts, of which one has an outbox on this machine, and a house."""

    side: Administration

    def type(self, *words: str) -> Result:
        return CliRunner().invoke(commands, [*words, "--config", str(self.side.config)])

    def ask(self, *words: str) -> Any:
        said = self.type(*words, "--json")
        assert said.exit_code == 0, (said.output, said.exception)
        return json.loads(said.stdout)

    def code_of(self, *words: str) -> str:
        said = self.type(*words)
        assert isinstance(said.exception, PanjError), said.output
        return said.exception.code

    def outbox(self) -> Outbox:
        settings = self.side.settings
        return Outbox.open(settings.posts["panji-poyon"].outbox, settings.post_party("panji-poyon"), settings.environment)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    tajik, afghan = Administration(TAJIK, tmp_path / "tj"), Administration(AFGHAN, tmp_path / "af")
    tajik.befriend(afghan)
    tajik.write_settings(
        amqps_port=1,
        management_url="http://127.0.0.1:1",
        database="sqlite:///var/house.sqlite",
        partner="af",
        partner_port=1,
        timing=Timing(),
    )
    found = Desk(tajik)
    found.outbox().close()
    house = tajik.settings.house
    assert house is not None
    migrations.make_ready(open_engine(house.database))
    return found


OUT = ("--direction", "outflow", "--reason", "inspection")
IN = ("--direction", "intake", "--reason", "audit")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--partner", "af", "--reason", "x"), "suspend-arguments"),
        (OUT, "suspend-arguments"),
        ((*OUT, "--type", "customs.beacon.v1"), "suspend-arguments"),
        ((*OUT, "--partner", "de"), "partner-unknown"),
        ((*OUT, "--post", "nowhere"), "post-unknown"),
        ((*OUT, "--post", "ishkoshim"), "suspension-nowhere"),
        ((*OUT, "--partner", "af", "--for", "soon"), "duration-invalid"),
        ((*OUT, "--partner", "af", "--until", "yesterday"), "instant-invalid"),
        ((*OUT, "--partner", "af", "--until", "2020-01-01T00:00"), "instant-invalid"),
        ((*OUT, "--partner", "af", "--until", "2099-01-01", "--for", "3d"), "suspend-arguments"),
        (("--direction", "outflow", "--partner", "af"), "reason-missing"),
        (("--direction", "outflow", "--partner", "af", "--reason", "bell \x07"), "reason-unfit"),
        ((*IN, "--post", "sher-khan-bandar"), "suspend-arguments"),
        (("end", "cafe0000", "--reason", "x"), "suspension-unknown"),
        (("end", "cafe0000"), "reason-missing"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_code_and_changes_nothing(desk: Desk, words: Sequence[str], code: str) -> None:
    assert desk.code_of(*words) == code
    assert desk.ask("list") == []


def test_outflow_is_suspended_where_the_outboxes_are_and_listed_with_what_it_holds_back(desk: Desk) -> None:
    assert "would be suspended at tj-panji-poyon" in desk.type(*OUT, "--partner", "af", "--dry-run").output
    assert desk.ask("list") == []
    begun = desk.ask(*OUT, "--partner", "af", "--type", EXPORT, "--for", "3d")
    assert (begun["places"], begun["elsewhere"], begun["partner"]) == (["tj-panji-poyon"], ["tj-ishkoshim"], "af")
    outbox = desk.outbox()
    outbox.accept(drafts(4))
    (kept,) = outbox.suspensions()
    assert (kept.id, kept.reason, kept.scope.type) == (begun["id"], "inspection", EXPORT)
    outbox.close()
    (listed,) = desk.ask("list")
    assert (listed["id"], listed["direction"], listed["place"], listed["events"]) == (begun["id"], "outflow", "tj-panji-poyon", 4)
    assert begun["id"] in desk.type("list").output
    readings = {reading.name: reading for reading in observe_post(desk.side.settings, "panji-poyon", now_utc())}
    assert (readings["suspended outflow"].value, readings["suspended outflow"].attention) == (4, Attention.WATCH)


def test_intake_is_suspended_in_the_house_and_ended_with_a_reason(desk: Desk) -> None:
    begun = desk.ask(*IN, "--partner", "af", "--post", "sher-khan-bandar", "--until", "2099-01-01T12:00")
    assert begun["places"] == ["tj-customs"]
    assert desk.ask("list")[0]["until_utc"].startswith("2099-01-01T12:00")
    assert "would be ended at tj-customs" in desk.type("end", begun["id"], "--reason", "done", "--dry-run").output
    assert len(desk.ask("list")) == 1
    assert desk.ask("end", begun["id"].upper(), "--reason", "done")["places"] == ["tj-customs"]
    assert desk.code_of("end", begun["id"], "--reason", "again") == "suspension-unknown"
    assert "Nothing is suspended" in desk.type("list").output
    (ended,) = desk.ask("list", "--all")
    assert (ended["end_reason"], ended["events"]) == ("done", 0)
    assert IntakeBook.direction.value == "intake"


def test_a_suspension_of_all_posts_is_ended_by_its_one_name_everywhere(desk: Desk) -> None:
    settings = desk.side.settings
    Outbox.open(settings.posts["ishkoshim"].outbox, settings.post_party("ishkoshim"), settings.environment).close()
    begun = desk.ask(*OUT, "--partner", "af")
    assert begun["places"] == ["tj-ishkoshim", "tj-panji-poyon"]
    assert [one["place"] for one in desk.ask("list")] == begun["places"]
    assert desk.ask("end", begun["id"], "--reason", "done")["places"] == begun["places"]
