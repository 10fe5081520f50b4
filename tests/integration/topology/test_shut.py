"""A partner's link certificate is revoked: it is out at once and stays out, and a new one takes over what waited meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pika.exceptions import AMQPConnectionError
from typer.testing import CliRunner

from broker.topology import commands as topology
from broker.topology.apply import apply_topology, plan_topology
from broker.topology.observe import observe_broker
from broker.topology.shut import readmit
from broker.trust import commands as pki
from tests.integration.topology.amqp import Client
from tests.integration.topology.conftest import Frontier, Side
from tests.integration.topology.waiting import until

KEY = "af-customs.customs-export-declaration-v1.tj-panji-poyon"


def panj(commands: object, *arguments: str) -> str:
    result = CliRunner().invoke(commands, list(arguments), catch_exceptions=False)  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output
    return result.stdout


def document(*arguments: str) -> Any:
    """The one JSON document of `panj topology …`; in this process, logs stand before it."""
    said = panj(topology.commands, *arguments)
    return json.loads(said[said.index("{\n") :])


def running(side: Side) -> bool:
    return all(link.running for link in observe_broker(side.settings).links)


@pytest.fixture
def linked(applied: Frontier) -> Iterator[Frontier]:
    """Both links run; afterwards everything is as it was, for the others who share these brokers."""
    sides = (applied.tj, applied.af)
    configs = {side.administration: side.administration.config.read_text() for side in sides}
    link = applied.af.administration.directory / "pki" / "link-to-tj.key"
    pair = {path: path.read_bytes() for path in (link, link.with_suffix(".pem"))}
    assert until(lambda: all(running(side) for side in sides), 60)
    yield applied
    for administration, text in configs.items():
        administration.config.write_text(text)
    for path, content in pair.items():
        path.write_bytes(content)
    with applied.tj.api() as api:
        readmit(api, "link-af")
    for side in sides:
        apply_topology(side.settings, remove=True)
    assert until(lambda: all(running(side) for side in sides), 60)


def old_link(frontier: Frontier, pair: Path) -> Client:
    """Log in to tj's broker as af's broker did."""
    tajik = frontier.tj.administration
    return Client(frontier.tj.node.amqps_port, "af", tajik.authority.anchor, pair.with_suffix(".pem"), pair.with_suffix(".key"))


@pytest.mark.timeout(300)
def test_a_revoked_link_is_out_at_once_and_a_new_certificate_takes_over_what_waited(linked: Frontier, tmp_path: Path) -> None:
    tajik, afghan = linked.tj.administration, linked.af.administration
    stolen = tmp_path / "stolen"
    for suffix in (".pem", ".key"):
        stolen.with_suffix(suffix).write_bytes((afghan.directory / "pki" / "link-to-tj").with_suffix(suffix).read_bytes())
    with old_link(linked, stolen) as thief:
        assert thief.get("tj-customs") == "403"
        said = panj(pki.commands, "revoke", "link-af", "--pki", str(tajik.authority.directory), "--config", str(tajik.config))
        assert "link-af is shut out at the broker" in said
        with pytest.raises(AMQPConnectionError):
            thief.get("tj-customs")
    assert (tajik.directory / "trust" / "tj" / "crls" / "tj.crl").read_bytes() == tajik.authority.crl.read_bytes()
    assert until(lambda: not running(linked.af))
    with linked.tj.client("af", "tj-panji-poyon") as post:
        assert [post.publish("outbound", KEY, b"%d" % number) for number in range(10)] == ["confirmed"] * 10

    # An apply, whoever runs it, lets nobody in again.
    applied = apply_topology(linked.tj.settings)
    assert [(user.name, user.reason) for user in applied.shut] == [("link-af", "its certificate was revoked")]
    with linked.tj.api() as api:
        assert "link-af" not in {user["name"] for user in api.get("users")}
    with pytest.raises(AMQPConnectionError):
        old_link(linked, stolen)
    check = CliRunner().invoke(topology.commands, ["check", "--config", str(tajik.config), "--json"])
    assert "topology-link-shut" in {finding["code"] for finding in json.loads(check.stdout)["findings"]}

    # The partner asks anew, with a new key; ours issues under another name; exchange.toml names it.
    panj(pki.commands, "request", "--link", "tj", "--renew", "--pki", str(afghan.directory / "pki"))
    csr, answer = afghan.directory / "pki" / "link-to-tj.csr", tmp_path / "answer.pem"
    naming = ("--link", "af", "--name", "link-af-2")
    panj(pki.commands, "issue", str(csr), *naming, "--out", str(answer), "--pki", str(tajik.authority.directory))
    tajik.config.write_text(tajik.config.read_text().replace("[partners.af]\n", '[partners.af]\nlink_user = "link-af-2"\n'))
    panj(topology.commands, "apply", "--config", str(tajik.config))
    panj(pki.commands, "install", str(answer), "--link", "tj", "--pki", str(afghan.directory / "pki"))

    with linked.af.client("tj", "af-customs") as house:
        assert [until(lambda: house.get("af-customs.record"), 200) for _ in range(10)] == [b"%d" % number for number in range(10)]
    assert plan_topology(linked.tj.settings).shut == ()  # exchange.toml names it no more
    with pytest.raises(AMQPConnectionError):
        old_link(linked, stolen)


def test_shutting_again_changes_nothing_and_readmitting_lets_apply_make_the_user_again(linked: Frontier) -> None:
    config = ("--config", str(linked.tj.administration.config))
    shut = ("shut", "af", "--json", *config, "--reason")
    assert until(lambda: document(*shut, "a drill", "--dry-run")["connections"])
    assert document(*shut, "a drill")["user"] == "link-af"
    assert document(*shut, "another")["connections"] == []
    (user,) = plan_topology(linked.tj.settings).shut
    assert user.reason == "a drill"
    assert "is no longer shut out" in panj(topology.commands, "readmit", "af", *config)
    assert {change.thing.kind for change in apply_topology(linked.tj.settings).changes} == {"user", "permission"}
    assert until(lambda: running(linked.af), 60)
