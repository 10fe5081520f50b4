"""Certificates and clocks while everything runs: renewed under load, revoked over the frontier, a link shut out, a clock two hours off."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from broker.outbox.store import Outbox
from broker.topology.observe import observe_broker
from deploy.lab.administrations import Administration
from deploy.lab.laboratory import laboratory
from schemas import examples
from schemas.names import EventType
from tests.acceptance.world import World, wait_for

EXPORT = EventType.EXPORT_DECLARATION


@pytest.fixture(scope="module")
def world(rabbitmq_installed: None) -> Iterator[World]:
    """One laboratory: what is done to keys does not depend on the database."""
    with laboratory("sqlite") as lab:
        lab.spawn_all()
        made = World(lab)
        for daemon in ("tj-panji-poyon", "af-customs"):
            wait_for("the daemons run", lambda d=daemon: "started" in lab.daemons[d].log.read_text())  # type: ignore[misc]
        yield made


def pki(world: World, side: Administration, *words: str) -> str:
    """Run `panj pki …` of one side's authority."""
    config = ("--config", str(side.config)) if words[0] == "revoke" else ()
    said = world.run("pki", *words, "--pki", str(side.authority.directory), *config)
    assert said.code == 0, said.err
    return said.out


def logged(world: World, daemon: str, event: str) -> list[dict[str, Any]]:
    """The log events of a daemon with this name."""
    lines = world.lab.daemons[daemon].log.read_text().splitlines()
    return [entry for line in lines if event in line and (entry := json.loads(line))["event"] == event]


def has_crl(world: World, daemon: str, number: int) -> bool:
    """Whether a daemon of af believes that CRL of tj: it came to itself, or to another of this machine, and lies in the files."""
    return any((entry["country"], entry["number"]) == ("tj", number) for entry in logged(world, daemon, "crl.taken"))


def parked_codes(world: World, side: Administration) -> list[str]:
    return [code for (code,) in world.rows(side, "SELECT code FROM parked WHERE closed_at_utc IS NULL")]


def test_keys_are_renewed_while_events_flow_and_nothing_is_parked_or_lost(world: World) -> None:
    lab = world.lab
    for round_of in range(3):
        world.drop(lab.tj, "panji-poyon", examples.varied("tj", "PNJ", 150, 10 + round_of))
        world.drop(lab.af, "eshkashim", examples.varied("af", "ESH", 50, 10 + round_of))
        pki(world, lab.tj, "renew", "panji-poyon")
        pki(world, lab.af, "renew", "customs")
        renewed = round_of + 1
        wait_for("the post signs anew", lambda renewed=renewed: len(logged(world, "tj-panji-poyon", "certificate.renewed")) == renewed)  # type: ignore[misc]
        wait_for("so does the house", lambda renewed=renewed: len(logged(world, "af-customs", "certificate.renewed")) == renewed)  # type: ignore[misc]
    world.drop(lab.tj, "panji-poyon", examples.varied("tj", "PNJ", 50, 20))
    world.wait_quiet()
    there, back = world.tallies()
    assert there.balanced
    assert back.balanced
    assert (there.parked, back.parked) == (0, 0)
    keys = world.rows(lab.af, "SELECT count(DISTINCT fingerprint) FROM evidence WHERE signatory = 'urn:customs:tj:panji-poyon'")
    assert keys[0][0] >= 3
    for daemon, connections in (("tj-panji-poyon", 4), ("af-customs", 4)):  # publishing and consuming, in two lanes
        wait_for("connections are made anew", lambda d=daemon, n=connections: len(logged(world, d, "connection.renewed")) >= n)  # type: ignore[misc]
        assert not logged(world, daemon, "connection.lost")
    for name, post in lab.tj.settings.posts.items():
        outbox = Outbox.open(post.outbox, lab.tj.settings.post_party(name), "test")
        assert outbox.parked_control() == []
        outbox.close()


def test_a_revoked_post_is_parked_over_there_within_seconds_and_its_next_key_heals_it(world: World) -> None:
    lab = world.lab
    world.drop(lab.tj, "ishkoshim", [(EXPORT, examples.export("tj", "ISK", "BEFORE-1"))])
    world.wait_quiet()
    begun = time.monotonic()
    pki(world, lab.tj, "revoke", "ishkoshim")  # the CRL lands where the house of tj watches; nobody carries it
    number = lab.tj.authority.register.crl_number
    wait_for("it crossed", lambda: has_crl(world, "af-customs", number))
    seconds = time.monotonic() - begun
    wait_for("their posts have it, too", lambda: has_crl(world, "af-sher-khan-bandar", number))
    world.drop(lab.tj, "ishkoshim", [(EXPORT, examples.export("tj", "ISK", "AFTER-1"))])
    wait_for("it is parked", lambda: "trust-revoked" in parked_codes(world, lab.af))
    assert seconds < 15, f"the CRL needed {seconds:.1f} s"
    assert world.rows(lab.af, "SELECT count(*) FROM declaration WHERE registration_number = 'AFTER-1'") == [(0,)]
    status = world.panj(lab.af, "status", "--json")
    assert status.code == 1
    pki(world, lab.tj, "renew", "ishkoshim")
    world.wait_quiet()
    assert world.rows(lab.af, "SELECT count(*) FROM declaration WHERE registration_number = 'AFTER-1'") == [(1,)]


def test_a_house_that_starts_is_told_what_was_revoked_before_it_takes_anything_in(world: World) -> None:
    lab = world.lab
    assert lab.daemons["af-customs"].terminate(10) == 0
    assert lab.daemons["tj-customs"].terminate(10) == 0
    lab.tj.authority.write_crl(lab.tj.directory / "trust" / "tj" / "crls" / "tj.crl")
    number = lab.tj.authority.register.crl_number
    lab.spawn_house(lab.tj)
    lab.spawn_house(lab.af)
    wait_for("it is told", lambda: has_crl(world, "af-customs", number))


@pytest.mark.timeout(240)
def test_a_link_shut_out_under_load_loses_nothing_and_goes_on_with_another_certificate(world: World) -> None:
    lab = world.lab
    tajik, afghan = lab.tj, lab.af
    world.drop(tajik, "panji-poyon", examples.varied("tj", "PNJ", 100, 30))
    said = pki(world, tajik, "revoke", "link-af")
    assert "link-af is shut out at the broker" in said
    world.drop(tajik, "panji-poyon", examples.varied("tj", "PNJ", 100, 31))
    wait_for("the link is down", lambda: not all(link.running for link in observe_broker(afghan.settings).links))
    key = str(afghan.authority.directory)
    world.run("pki", "request", "--link", "tj", "--renew", "--pki", key)
    answer = lab.directory / "answer.pem"
    pki(world, tajik, "issue", f"{key}/link-to-tj.csr", "--link", "af", "--name", "link-af-2", "--out", str(answer))
    tajik.config.write_text(tajik.config.read_text().replace("[partners.af]\n", '[partners.af]\nlink_user = "link-af-2"\n'))
    assert world.panj(tajik, "topology", "apply", "--remove").code == 0
    assert world.run("pki", "install", str(answer), "--link", "tj", "--pki", key).code == 0
    world.wait_quiet(120)
    assert world.tallies()[0].balanced
    assert world.panj(tajik, "topology", "check", "--wait", "60").code == 0


def test_a_post_two_hours_ahead_is_told_on_both_sides_parks_nothing_and_waits_once_its_clock_is_right(world: World) -> None:
    lab = world.lab
    through = ("tests.faults.altered", "--clock", "7200", "--")
    assert lab.daemons["af-eshkashim"].terminate(10) == 0
    lab.spawn(lab.af, "post", "run", "--post", "eshkashim", name="af-eshkashim", through=through)
    before = world.tallies()[1]
    world.drop(lab.af, "eshkashim", [(EXPORT, examples.export("af", "ESH", "AHEAD-1"))])
    world.wait_quiet()
    after = world.tallies()[1]
    assert (after.parked, after.loaded) == (before.parked, before.loaded + 1)
    wait_for("the post tells", lambda: bool(logged(world, "af-eshkashim", "clock.skewed")))
    whose = "urn:customs:af:eshkashim"
    wait_for("the house tells", lambda: any(e["whose"] == whose for e in logged(world, "tj-customs", "clock.skewed")))
    shown = world.panj(lab.tj, "status", "--json").document["readings"]
    (clock,) = [each for each in shown if each["subject"].startswith("af-eshkashim") and each["name"] == "clock of the post against ours"]
    assert clock["attention"] == "act"
    assert 7100 < clock["value"] < 7300

    assert lab.daemons["af-eshkashim"].terminate(10) == 0
    lab.spawn_post(lab.af, "eshkashim")  # its clock is right again, and stands before its own last event
    world.drop(lab.af, "eshkashim", [(EXPORT, examples.export("af", "ESH", "BACK-1"))])
    wait_for("intake waits", lambda: any(e["code"] == "clock-behind" for e in logged(world, "af-eshkashim", "intake.paused")))
    wait_for("the relay waits", lambda: any(e["code"] == "clock-behind" for e in logged(world, "af-eshkashim", "relay.hindered")))
    readings = world.panj(lab.af, "status", "--json").document["readings"]
    (told,) = [each for each in readings if (each["subject"], each["name"]) == ("af-eshkashim", "clock")]
    assert told["attention"] == "act"
    assert "panj post recover" in told["advice"]
    lab.spawn(lab.af, "post", "run", "--post", "eshkashim", name="af-eshkashim-ahead", through=through)  # takes over when the other ends
    assert lab.daemons["af-eshkashim"].terminate(10) == 0
    world.wait_quiet()
    assert world.rows(lab.tj, "SELECT count(*) FROM declaration WHERE registration_number = 'BACK-1'") == [(1,)]
