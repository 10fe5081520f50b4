"""Encryption end to end between two administrations: it crosses, it is refused readably, and neither broker can read it."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator

import httpx
import pytest

from deploy.lab.laboratory import laboratory
from schemas import examples
from schemas.names import EventType
from tests.acceptance.world import World, wait_for

EXPORT = EventType.EXPORT_DECLARATION
SECRET = "Nobody Reads This Ltd"


@pytest.fixture(scope="module")
def world(rabbitmq_installed: None) -> Iterator[World]:
    with laboratory(encrypted=True) as lab:
        lab.spawn_all()
        yield World(lab)


def test_encrypted_declarations_cross_both_ways_and_are_loaded(world: World) -> None:
    for side in world.lab.sides:
        for seed, (post, office) in enumerate(side.plan.posts.items()):
            world.drop(side, post, examples.varied(side.plan.country, office, 20, seed))
    world.wait_quiet()
    assert all(tally.balanced and tally.loaded == 40 for tally in world.tallies())
    ((readable,),) = world.rows(world.lab.af, "SELECT count(*) FROM inbox WHERE source LIKE '%:tj:%' AND reply_key IS NULL")
    assert readable == 0


def test_versions_that_intake_gives_are_recognised_though_what_was_sent_cannot_be_read_here(world: World) -> None:
    first = examples.export("tj", "PNJ", "NEXT-1") | {"version": "next"}
    amended = first | {"exporter_name": SECRET, "message_function": "amendment", "correction_reason": "a wrong name"}
    for data in (first, first, amended, amended):
        world.drop(world.lab.tj, "panji-poyon", [(EXPORT, data)])
        world.wait_quiet()
    query = "SELECT version, corrects FROM declaration WHERE registration_number = 'NEXT-1' ORDER BY version"
    assert world.rows(world.lab.af, query) == [(1, None), (2, 1)]


def test_the_reasons_of_a_refusal_are_read_by_the_sender_alone(world: World) -> None:
    for post, name in zip(world.lab.tj.plan.posts, ("First", SECRET), strict=True):
        world.drop(world.lab.tj, post, [(EXPORT, examples.export("tj", "PNJ", "TWICE-1") | {"exporter_name": name})])
        world.wait_quiet()
    told = world.panj(world.lab.tj, "trace", "TJ/PNJ/2026/TWICE-1")
    assert "version-conflict" in told.out


def test_a_brokers_administrator_and_the_logs_see_nothing_of_a_declaration(world: World) -> None:
    lab = world.lab
    lab.daemons["af-customs"].terminate(10)
    world.drop(lab.tj, "panji-poyon", [(EXPORT, examples.export("tj", "PNJ", "SECRET-1") | {"exporter_name": SECRET})])
    node = lab.nodes["af"]
    with httpx.Client(base_url=node.management_url, auth=("panj-admin", node.admin_password), timeout=10, trust_env=False) as api:
        wanted = {"count": 100, "ackmode": "ack_requeue_true", "encoding": "base64"}
        seen: list[str] = []

        def arrived() -> bool:
            for message in api.post("/api/queues/tj/af-customs.record/get", json=wanted).raise_for_status().json():
                body = base64.b64decode(message["payload"])
                plain = gzip.decompress(body) if message["properties"].get("content_encoding") == "gzip" else body
                seen.append(plain.decode() + json.dumps(message["properties"]))
            return bool(seen)

        wait_for("the bundle waits at the other side's broker", arrived)
    assert all(SECRET not in each and "SECRET-1" not in each for each in seen)
    lab.spawn_house(lab.af)
    world.wait_quiet()
    ((name,),) = world.rows(lab.af, "SELECT exporter_name FROM declaration WHERE registration_number = 'SECRET-1'")
    assert name == SECRET
    logs = "".join(path.read_text() for path in (lab.directory / "log").glob("*.log"))
    assert SECRET not in logs


def test_evidence_of_a_declaration_is_exported_on_both_sides_and_holds_for_whoever_trusts_both_authorities(world: World) -> None:
    lab = world.lab
    world.drop(lab.tj, "ishkoshim", [(EXPORT, examples.export("tj", "ISK", "COURT-1") | {"exporter_name": SECRET})])
    world.wait_quiet()
    trust = [word for side in lab.sides for word in ("--trust", str(side.authority.anchor))]
    for side in lab.sides:
        file = str(lab.directory / f"evidence-{side.plan.country}.json")
        exported = world.panj(side, "evidence", "export", "TJ/ISK/2026/COURT-1", "--out", file, "--json")
        assert exported.code == 0, exported.err
        told = world.run("evidence", "verify", file, *trust, "--json")
        assert told.code == 0, told.out
        texts = [finding["text"] for finding in told.document["findings"]]
        assert any(text.startswith("urn:customs:tj:ishkoshim signed these bytes") for text in texts)
        assert any(text.startswith("urn:customs:af:customs answered LOADED for exactly this event") for text in texts)
    house = json.loads((lab.directory / "evidence-af.json").read_text())["account"]["events"][0]
    assert SECRET in base64.b64decode(house["plaintext"]).decode()


def test_after_a_revocation_it_is_told_what_still_stands_and_what_is_to_be_looked_at(world: World) -> None:
    lab = world.lab
    assert world.panj(lab.af, "trust", "review").code == 0
    (serial,) = (each.serial for each in lab.tj.authority.register.issued if each.urn == "urn:customs:tj:ishkoshim")
    lab.tj.authority.revoke(serial)
    for side in lab.sides:
        side.trust(lab.tj.authority)
    trust = [word for side in lab.sides for word in ("--trust", str(side.authority.anchor))]
    told = world.run("evidence", "verify", str(lab.directory / "evidence-af.json"), *trust, "--crl", str(lab.tj.authority.crl), "--json")
    assert told.code == 0, told.out  # the house had it before
    revoked = [finding for finding in told.document["findings"] if finding["what"] == "revocation"]
    assert all("is revoked since" in finding["text"] and finding["by"] == "urn:customs:af:customs" for finding in revoked)
    assert revoked
    review = world.panj(lab.af, "trust", "review", "--json")
    assert review.code == 1
    (certificate,) = review.document
    assert certificate["unit"] == "urn:customs:tj:ishkoshim"
    assert "TJ/ISK/2026/COURT-1" in {event["reference"] for event in certificate["events"]}
