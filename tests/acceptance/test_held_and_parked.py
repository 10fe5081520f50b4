"""What a rule holds, and what is not trusted yet, decided by two people while everything runs: from the post's file to its settled row."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from broker import audit
from deploy.lab.administrations import Administration
from deploy.lab.laboratory import laboratory
from schemas import examples
from schemas.names import EventType
from tests.acceptance.world import Said, World, wait_for

EXPORT = EventType.EXPORT_DECLARATION
RULES = '''
"""The Afghan integrator's own rule: somebody looks at what is worth more than a million."""
from consumers import consumer
from consumers.loaders.record import load_record
from schemas import CrossingEvent, ExportDeclaration, ImportDeclaration, TransitDeclaration

@consumer((ExportDeclaration, ImportDeclaration, TransitDeclaration, CrossingEvent), queue="record")
def load_by_rules(batch, context):
    for event in batch:
        amount = getattr(event.data, "invoice_amount", None)
        if amount is not None and amount > 1_000_000:
            context.hold(event, "valuation-check", "somebody must look at the value", field="invoice_amount", value=amount)
    load_record(batch, context)
'''
# The loader of record writes what is accepted at its call: what the rule has held is not in it.


@pytest.fixture(scope="module")
def world(rabbitmq_installed: None, postgresql_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A laboratory whose Afghan house loads by a rule, and asks for a second person."""
    site = tmp_path_factory.mktemp("site")
    (site / "afghan_rules.py").write_text(RULES)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{site}{os.pathsep}{before}" if before else str(site)
    try:
        with laboratory("postgresql") as lab:
            content = lab.af.config.read_text()
            content = content.replace('handler = "consumers.loaders.record"', 'handler = "afghan_rules"')
            lab.af.config.write_text(content.replace("[house]\n", '[house]\nsecond_person = ["release", "discard"]\n'))
            lab.spawn_all()
            yield World(lab)
    finally:
        os.environ.pop("PYTHONPATH")
        if before:
            os.environ["PYTHONPATH"] = before


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let somebody else type."""

    def sit_down(name: str) -> None:
        monkeypatch.setenv("SUDO_USER", name)
        if audit.actor() != name:
            pytest.skip("another login can be played by root only, where the kernel knows of none")

    return sit_down


def outbox_row(side: Administration, post: str, number: str) -> tuple[str | None, str | None, str]:
    """What a post's outbox says of a declaration: the interim answer, the final fate, and the problems."""
    engine = create_engine(side.settings.posts[post].outbox)
    with engine.connect() as connection:
        query = text("SELECT answered_fate, fate, problems FROM outbox WHERE reference LIKE :number")
        row = connection.execute(query, {"number": f"%/{number}"}).first() if inspect(connection).has_table("outbox") else None
    engine.dispose()
    return (None, None, "") if row is None else (row[0], row[1], str(row[2]))


def dear(number: str) -> dict[str, Any]:
    """A declaration that the rule holds."""
    return examples.export("tj", "PNJ", number) | {"invoice_amount": "2000000.00", "invoice_currency": "USD"}


def held_id(world: World, number: str) -> str:
    """Wait until the house holds it and the post knows; its id."""
    lab = world.lab
    wait_for("the post is told HELD", lambda: outbox_row(lab.tj, "panji-poyon", number)[0] == "HELD")
    listed = world.panj(lab.af, "held", "list", "--code", "valuation-check", "--json").document["held"]
    (found,) = [one for one in listed if one["reference"].endswith(f"/{number}")]
    assert outbox_row(lab.tj, "panji-poyon", number)[1] is None
    return str(found["event_id"])


def done(said: Said) -> dict[str, int]:
    """The outcomes of an order that is done."""
    assert said.code == 0, said.out + said.err
    assert said.document["state"] == "done"
    outcomes: dict[str, int] = said.document["outcomes"]
    return outcomes


def test_what_a_rule_holds_is_released_by_two_people_and_the_sender_is_settled(world: World, people: Any) -> None:
    lab, panj = world.lab, partial(world.panj, world.lab.af)
    world.drop(lab.tj, "panji-poyon", [(EXPORT, dear("HELD-1"))])
    event_id = held_id(world, "HELD-1")
    people("amina")
    rehearsed = panj("held", "release", event_id, "--dry-run", "--json")
    assert (rehearsed.code, rehearsed.document["outcomes"]) == (0, {"loaded": 1})
    ordered = panj("held", "release", event_id, "--reason", "value confirmed by the invoice", "--json")
    assert (ordered.code, ordered.document["state"]) == (0, "waiting")
    number = str(ordered.document["number"])
    alone = panj("held", "approve", number)
    assert (alone.code, "order-same-person" in alone.err) == (1, True)
    status = panj("status", "--json").document["readings"]
    assert any(reading["name"] == "orders waiting: held" and reading["attention"] == "act" for reading in status)
    people("bahrom")
    assert done(panj("held", "approve", number, "--json")) == {"loaded": 1}
    wait_for("the post is settled", lambda: outbox_row(lab.tj, "panji-poyon", "HELD-1")[1] == "LOADED")
    world.wait_quiet()
    assert world.tallies()[0].balanced
    assert "held.decided" in lab.daemons["af-customs"].log.read_text()  # the running house did it
    told = world.panj(lab.af, "trace", "HELD-1").out
    assert "approved by bahrom" in " ".join(told.split())
    assert panj("held", "list", "--json").document["held"] == []


def test_a_discarded_event_settles_its_sender_with_the_reason(world: World, people: Any) -> None:
    lab, panj = world.lab, partial(world.panj, world.lab.af)
    world.drop(lab.tj, "panji-poyon", [(EXPORT, dear("HELD-2"))])
    event_id = held_id(world, "HELD-2")
    people("amina")
    number = str(panj("held", "discard", event_id, "--reason", "the goods never came", "--json").document["number"])
    people("bahrom")
    assert done(panj("held", "approve", number, "--json")) == {"refused": 1}
    wait_for("the post is settled", lambda: outbox_row(lab.tj, "panji-poyon", "HELD-2")[1] == "REFUSED")
    assert "the goods never came" in outbox_row(lab.tj, "panji-poyon", "HELD-2")[2]
    world.wait_quiet()
    assert world.tallies()[0].balanced


def test_a_bundle_that_was_not_trusted_is_opened_again_and_its_post_is_settled(world: World) -> None:
    lab, panj = world.lab, partial(world.panj, world.lab.af)
    anchor: Path = lab.af.settings.partners["tj"].anchor
    right = anchor.read_bytes()
    anchor.write_bytes(lab.af.authority.anchor.read_bytes())

    def parked(queue: str = "af-customs.record") -> list[str]:
        query = "SELECT encode(digest, 'hex') FROM parked WHERE closed_at_utc IS NULL AND code LIKE 'trust-%' AND queue = :queue"
        return [digest for (digest,) in world.rows(lab.af, query, queue=queue)]

    wait_for("the house has taken up the wrong anchor, and parks even beacons", lambda: bool(parked("af-customs")))
    world.drop(lab.tj, "panji-poyon", [(EXPORT, examples.export("tj", "PNJ", "PARKED-1"))])
    wait_for("the bundle is parked", lambda: bool(parked()))
    lab.cut()  # it cannot be sent again, and heal by itself
    anchor.write_bytes(right)
    (digest,) = parked()
    assert panj("parked", "replay", digest, "--dry-run", "--json").document["outcomes"] == {"loaded": 1}
    assert done(panj("parked", "replay", digest, "--reason", "the right anchor is pinned again", "--json")) == {"opened": 1}
    assert world.rows(lab.af, "SELECT count(*) FROM declaration WHERE registration_number = 'PARKED-1'") == [(1,)]
    assert not parked()
    assert panj("audit", "verify", "--json").document[0]["whole"]
    lab.mend()
    world.wait_quiet()
    assert outbox_row(lab.tj, "panji-poyon", "PARKED-1")[1] == "LOADED"
    assert world.tallies()[0].balanced
