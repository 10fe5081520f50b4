"""No message that a broker passes on ends the connection that brings it, and none is believed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pika
import pytest

from broker.amqp import ConnectionTarget, Password, connect_to
from broker.ports import Delivery, Message
from consumers.opening import InHand, open_delivery
from deploy.lab.shared import RabbitAddress
from tests.attacks.wire import STRANGE, Strange, raw_values
from tests.integration.consumers.frontier import EXPORT, Frontier, declaration

QUEUE = "record"
SECONDS = 30.0


@pytest.fixture
def channel(rabbit_node: RabbitAddress, virtual_host: str) -> pika.adapters.blocking_connection.BlockingChannel:
    login = pika.PlainCredentials(rabbit_node.user, rabbit_node.password)
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", rabbit_node.amqp_port, virtual_host, login))
    channel = connection.channel()
    channel.exchange_declare("inbound", "topic", durable=True)
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(QUEUE, "inbound", "#")
    channel.confirm_delivery()
    return channel


def _publish(channel: pika.adapters.blocking_connection.BlockingChannel, message: Message, strange: Strange | None = None) -> None:
    honest = {"content_type": message.content_type, "content_encoding": message.content_encoding, "headers": dict(message.headers)}
    properties = strange.properties(**honest) if strange else pika.BasicProperties(**honest)
    with raw_values():
        channel.basic_publish("inbound", message.routing_key, message.body, properties)


def test_every_strange_message_is_taken_and_the_honest_one_behind_it_opens(
    channel: pika.adapters.blocking_connection.BlockingChannel, rabbit_node: RabbitAddress, virtual_host: str, tmp_path: Path
) -> None:
    frontier = Frontier(tmp_path)
    honest = frontier.post.bundle([frontier.post.event(declaration(1))], EXPORT)
    for strange in STRANGE:
        _publish(channel, honest, strange)
    for key in (b"\xff\xfe", b"\x00.a", "x" * 255):
        channel.basic_publish("inbound", key, b"", pika.BasicProperties())
    _publish(channel, honest)
    lane = connect_to(ConnectionTarget("127.0.0.1", rabbit_node.amqp_port, virtual_host, Password(rabbit_node.user, rabbit_node.password)))
    try:
        subscription = lane.subscribe(QUEUE, 100)
        deliveries: list[Delivery] = []
        while len(deliveries) < len(STRANGE) + 4:
            found = subscription.take(100, SECONDS)
            assert found, f"after {len(deliveries)} of {len(STRANGE) + 4}: {lane.trouble()}"
            deliveries += found
    finally:
        lane.close()
    trust, expected, now = frontier.trust, frontier.expected["tj"], datetime.now(UTC)
    opened = [open_delivery(InHand(delivery, "tj", frontier.hand), trust, expected, now) for delivery in deliveries]
    assert [parking.problem.code for each in opened for parking in each.parkings if parking.problem.code == "opening-surprise"] == []
    assert len(opened[-1].arrivals) == 1
    believed = {arrival.opened.raw for each in opened for arrival in each.arrivals}
    assert believed == {
        opened[-1].arrivals[0].opened.raw
    }  # what says no more than a strange header beside an honest signature is as signed
