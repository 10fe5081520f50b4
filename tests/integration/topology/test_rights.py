"""What units and partners' links may do on a broker that stands as exchange.toml says, tried on a real one."""

from __future__ import annotations

import pytest
from pika.exceptions import AMQPConnectionError, ProbableAccessDeniedError

from tests.integration.topology.conftest import Frontier

EXPORT = "af-customs.customs-export-declaration-v1"
REFUSED = "403"


def test_a_post_publishes_in_its_own_name_and_in_no_other(applied: Frontier) -> None:
    with applied.tj.client("tj", "tj-panji-poyon") as post:
        assert post.publish("outbound", "tj-customs.customs-import-declaration-v1.tj-panji-poyon") == "confirmed"
        assert post.publish("outbound", "tj-customs.customs-import-declaration-v1.tj-ishkoshim") == REFUSED
        assert post.publish("outbound", "tj-customs.customs-import-declaration-v1.tj-panji-poyon.x") == REFUSED
        assert post.publish("inbound", "tj-customs.customs-import-declaration-v1.tj-panji-poyon") == REFUSED
        assert post.publish("", "tj-customs.record") == REFUSED
        assert post.publish("amq.topic", "tj-customs.customs-import-declaration-v1.tj-panji-poyon") == REFUSED


def test_a_post_reads_its_own_queue_and_no_other(applied: Frontier) -> None:
    with applied.tj.client("af", "tj-panji-poyon") as post:
        assert post.get("tj-panji-poyon") is None
        for queue in ("tj-ishkoshim", "tj-customs", "tj-customs.record"):
            assert post.get(queue) == REFUSED


def test_a_post_declares_and_binds_nothing(applied: Frontier) -> None:
    with applied.tj.client("af", "tj-panji-poyon") as post:
        assert post.declare_queue("tj-panji-poyon-more") == REFUSED
        assert post.declare_exchange("more") == REFUSED
        assert post.bind("tj-panji-poyon", "outbound", "#") == REFUSED


def test_the_house_reads_its_consumers_queues_and_answers_in_its_own_name(applied: Frontier) -> None:
    with applied.tj.client("tj", "tj-customs") as house:
        assert house.publish("outbound", "tj-panji-poyon.customs-receipt-v1.tj-customs", b"receipt") == "confirmed"
        assert house.publish("outbound", "tj-customs.customs-import-declaration-v1.tj-panji-poyon") == REFUSED
        assert house.get("tj-customs.record") in (None, b"x")
        assert house.get("tj-panji-poyon") == REFUSED
    with applied.tj.client("tj", "tj-panji-poyon") as post:
        assert post.get("tj-panji-poyon") == b"receipt"


def test_a_partners_link_may_declare_its_federation_queue_and_nothing_else(applied: Frontier) -> None:
    with applied.link_client() as link:
        own = "federation: outbound -> tj:af:inbound test"
        assert link.declare_queue(own) == "declared"
        assert link.bind(own, "outbound", "nothing.at.all") == "bound"
        assert link.get(own) is None
        assert link.declare_queue("federation: inbound -> tj") == REFUSED
        assert link.declare_queue("mine") == REFUSED
        assert link.publish("outbound", "tj-customs.customs-receipt-v1.af-customs") == REFUSED
        assert link.publish("inbound", "af-customs.customs-export-declaration-v1.tj-panji-poyon") == REFUSED
        for queue in ("af-customs", "af-customs.record", "af-sher-khan-bandar"):
            assert link.get(queue) == REFUSED
            assert link.bind(own, queue, "#") in (REFUSED, "404")
        assert link.bind(own, "inbound", "#") == REFUSED
    with applied.af.api() as api:
        api.delete("queues", "tj", own)


def test_nobody_enters_a_lane_that_is_not_theirs(applied: Frontier) -> None:
    pki = applied.tj.administration.directory / "pki"
    from tests.integration.topology.amqp import Client  # noqa: PLC0415  only here

    with pytest.raises((ProbableAccessDeniedError, AMQPConnectionError)):
        Client(applied.af.node.amqps_port, "af", applied.af.administration.authority.anchor, pki / "link-to-af.pem", pki / "link-to-af.key")
    with pytest.raises(AMQPConnectionError):  # a unit's certificate of the other side's authority opens nothing here
        Client(applied.af.node.amqps_port, "tj", applied.af.administration.authority.anchor, pki / "tj-customs.pem", pki / "tj-customs.key")
