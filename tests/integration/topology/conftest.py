"""Two private brokers, tj and af, with pilot authorities that know each other: what topology is made for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from broker.settings.model import Settings
from broker.topology.apply import apply_topology
from broker.topology.management import ManagementApi
from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from deploy.lab.rabbitmq import RabbitNode, TlsFiles
from tests.integration.topology.amqp import Client


@dataclass
class Side:
    """One administration with its running broker."""

    administration: Administration
    node: RabbitNode

    @property
    def settings(self) -> Settings:
        return self.administration.settings

    def api(self) -> ManagementApi:
        return ManagementApi(self.settings.broker.management)

    def queue(self, lane: str, name: str) -> dict[str, Any]:
        with self.api() as api:
            found: dict[str, Any] = api.get("queues", lane, name)
            return found

    def client(self, lane: str, user: str) -> Client:
        """Log in to our own broker with the certificate of one of our units, or of a partner's link."""
        pki = self.administration.directory / "pki"
        return Client(self.node.amqps_port, lane, self.administration.authority.anchor, pki / f"{user}.pem", pki / f"{user}.key")


@dataclass
class Frontier:
    """Both sides of it."""

    tj: Side
    af: Side

    def link_client(self) -> Client:
        """Log in to af's broker as tj's broker does: with the link certificate that af's authority issued."""
        pki = self.tj.administration.directory / "pki"
        return Client(
            self.af.node.amqps_port, "tj", self.af.administration.authority.anchor, pki / "link-to-af.pem", pki / "link-to-af.key"
        )


@pytest.fixture(scope="package")
def frontier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontier]:
    directory: Path = tmp_path_factory.mktemp("frontier")
    tj, af = Administration(TAJIK, directory / "tj"), Administration(AFGHAN, directory / "af")
    tj.befriend(af)
    af.befriend(tj)
    nodes = {side.plan.country: _node(directory, side) for side in (tj, af)}
    try:
        with ThreadPoolExecutor() as together:
            list(together.map(RabbitNode.start, nodes.values()))
        for side, other in ((tj, af), (af, tj)):
            node, partner = nodes[side.plan.country], other.plan.country
            side.write_settings(
                amqps_port=node.amqps_port,
                management_url=node.management_url,
                database="sqlite:///var/house.sqlite",
                partner=partner,
                partner_port=nodes[partner].amqps_port,
                timing=Timing(),
            )
        yield Frontier(Side(tj, nodes["tj"]), Side(af, nodes["af"]))
    finally:
        with ThreadPoolExecutor() as together:
            list(together.map(RabbitNode.stop, nodes.values()))


def _node(directory: Path, side: Administration) -> RabbitNode:
    pair = side.broker_pair
    tls = TlsFiles(ca=side.authority.anchor, certificate=pair.certificate, key=pair.key)
    return RabbitNode(directory / "broker" / side.plan.country, side.plan.country, tls, side.management_password)


@pytest.fixture
def applied(frontier: Frontier) -> Frontier:
    """Both topologies stand as both files say."""
    for side in (frontier.tj, frontier.af):
        apply_topology(side.settings, remove=True)
    return frontier
