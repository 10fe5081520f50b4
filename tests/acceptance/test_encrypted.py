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
