"""One suite over both brokers, RabbitMQ and the one in memory: what integration teams test with is what they will run on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass

import httpx
import pytest

from broker.amqp import ConnectionTarget, Password, connect_to
from broker.memory import MemoryExchange
from broker.ports import Broker, Delivery, Message, Published, Subscription
from deploy.lab.shared import RabbitAddress

WAIT_SECONDS = 15.0


@dataclass
class Lane:
    """A lane with one queue `record`, bound for `house.#`; `open` connects another user to it."""

    open: Callable[[], Broker]


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.xdist_group("rabbitmq"))])
def lane(request: pytest.FixtureRequest) -> Iterator[Lane]:
    opened: list[Broker] = []
    if request.param == "memory":
        exchange = MemoryExchange()
        exchange.federate(exchange)
        exchange.declare("record", "house.#")

        def open_broker() -> Broker:
            opened.append(exchange.broker())
            return opened[-1]
    else:
        node: RabbitAddress = request.getfixturevalue("rabbit_node")
        name: str = request.getfixturevalue("virtual_host")
        _declare(node, name)

        def open_broker() -> Broker:
            target = ConnectionTarget("127.0.0.1", node.amqp_port, name, Password(node.user, node.password))
            opened.append(connect_to(target))
            return opened[-1]

    yield Lane(open_broker)
    for broker in opened:
        broker.close()


def _declare(node: RabbitAddress, virtual_host: str) -> None:
    with httpx.Client(base_url=f"{node.management_url}/api", auth=(node.user, node.password)) as api:
        for path, body in {
            f"/exchanges/{virtual_host}/outbound": {"type": "topic", "durable": True},
            f"/queues/{virtual_host}/record": {"durable": True, "arguments": {"x-queue-type": "quorum"}},
        }.items():
            api.put(path, json=body).raise_for_status()
        api.post(f"/bindings/{virtual_host}/e/outbound/q/record", json={"routing_key": "house.#"}).raise_for_status()


def message(number: int, key: str = "house.customs-export-declaration-v1.post") -> Message:
    return Message(key, f"event {number}".encode(), {"jws": "a..b", "events": 1}, "application/cloudevents-batch+json", "gzip")


def publish(broker: Broker, count: int, first: int = 0) -> list[Published]:
    futures = broker.publish([message(number) for number in range(first, first + count)])
    assert not wait(futures, WAIT_SECONDS).not_done
    return [future.result() for future in futures]


def take(subscription: Subscription, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    end = time.monotonic() + WAIT_SECONDS
    while len(taken) < count and time.monotonic() < end:
        taken += subscription.take(count - len(taken), 1.0)
    return taken


def bodies(deliveries: list[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]


def test_a_header_s_number_is_a_plain_number_however_wide_it_travelled(lane: Lane) -> None:
    broker = lane.open()
    subscription = broker.subscribe("record", 100)
    for number in (1, 2**40):
        wide = Message("house.x", b"", {"events": number}, "application/cloudevents-batch+json")
        assert broker.publish([wide])[0].result(WAIT_SECONDS) is Published.CONFIRMED
        (delivery,) = take(subscription, 1)
        assert (type(delivery.message.headers["events"]), delivery.message.headers["events"]) == (int, number)


def test_what_is_published_and_confirmed_is_delivered_once_and_whole(lane: Lane) -> None:
    broker = lane.open()
    subscription = broker.subscribe("record", 100)
    assert publish(broker, 3) == [Published.CONFIRMED] * 3
    taken = take(subscription, 3)
    assert [delivery.message for delivery in taken] == [message(number) for number in range(3)]
    assert [delivery.redeliveries for delivery in taken] == [0, 0, 0]
    subscription.ack(taken)
    assert subscription.take(10, 0.3) == []


def test_what_no_queue_is_bound_for_is_returned_and_the_rest_confirmed(lane: Lane) -> None:
    futures = lane.open().publish([message(1), message(2, "nobody.customs-receipt-v1.house"), message(3)])
    wait(futures, WAIT_SECONDS)
    assert [future.result() for future in futures] == [Published.CONFIRMED, Published.RETURNED, Published.CONFIRMED]


def test_what_was_not_acknowledged_is_delivered_again_and_counted(lane: Lane) -> None:
    first, second = lane.open(), lane.open()
    subscription = first.subscribe("record", 10)
    publish(first, 2)
    subscription.ack(take(subscription, 1))
    take(subscription, 1)
    first.close()
    again = take(second.subscribe("record", 10), 1)
    assert bodies(again) == [b"event 1"]
    assert again[0].redeliveries >= 1


def test_what_is_released_comes_again(lane: Lane) -> None:
    broker = lane.open()
    subscription = broker.subscribe("record", 10)
    publish(broker, 1)
    subscription.release(take(subscription, 1))
    again = take(subscription, 1)
    assert bodies(again) == [b"event 0"]
    assert again[0].redeliveries >= 1


def test_no_more_is_taken_unacknowledged_than_the_prefetch(lane: Lane) -> None:
    broker = lane.open()
    subscription = broker.subscribe("record", 3)
    publish(broker, 5)
    taken = take(subscription, 3)
    assert len(taken) == 3
    assert subscription.take(5, 0.3) == []
    subscription.ack(taken)
    assert len(take(subscription, 2)) == 2


def test_take_waits_for_the_first_delivery_only(lane: Lane) -> None:
    broker = lane.open()
    subscription = broker.subscribe("record", 10)
    publish(broker, 1)
    begun = time.monotonic()
    assert len(subscription.take(10, WAIT_SECONDS)) == 1
    assert time.monotonic() - begun < WAIT_SECONDS / 2


def test_an_arrival_is_announced(lane: Lane) -> None:
    broker = lane.open()
    arrived = threading.Event()
    broker.subscribe("record", 10, arrived.set)
    publish(broker, 1)
    assert arrived.wait(WAIT_SECONDS)


def test_one_publisher_s_messages_come_in_their_order(lane: Lane) -> None:
    broker = lane.open()
    subscription = broker.subscribe("record", 1_000)
    assert set(publish(broker, 300)) == {Published.CONFIRMED}
    assert bodies(take(subscription, 300)) == [f"event {number}".encode() for number in range(300)]


def test_several_threads_publish_at_once_and_nothing_is_mixed_up(lane: Lane) -> None:
    broker = lane.open()
    subscription = broker.subscribe("record", 1_000)
    outcomes: list[Published] = []
    threads = [threading.Thread(target=lambda start=start: outcomes.extend(publish(broker, 50, start))) for start in range(0, 200, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [Published.CONFIRMED] * 200
    assert sorted(bodies(take(subscription, 200))) == sorted(f"event {number}".encode() for number in range(200))


def test_acknowledging_out_of_order_finishes_exactly_those(lane: Lane) -> None:
    first, second = lane.open(), lane.open()
    subscription = first.subscribe("record", 10)
    publish(first, 5)
    taken = take(subscription, 5)
    subscription.ack([taken[3], taken[1]])
    subscription.ack([taken[0]])
    assert publish(first, 1, first=9) == [Published.CONFIRMED]
    subscription.close()
    first.close()
    left = take(second.subscribe("record", 10), 3)
    assert sorted(bodies(left)) == [b"event 2", b"event 4", b"event 9"]


def test_connecting_anew_under_load_loses_nothing_and_delivers_nothing_twice(lane: Lane) -> None:
    broker = lane.open()
    subscription = broker.subscribe("record", 100)
    outcomes: list[Published] = []
    publishing = threading.Thread(target=lambda: outcomes.extend(publish(broker, 3_000)))
    publishing.start()
    taken: list[Delivery] = []
    renewed = False
    end = time.monotonic() + 60
    while len(taken) < 3_000 and time.monotonic() < end:
        deliveries = subscription.take(50, 0.2)
        subscription.ack(deliveries)
        taken += deliveries
        if len(taken) > 500 and not renewed:
            broker.renew()
            renewed = True
    publishing.join()
    assert outcomes == [Published.CONFIRMED] * 3_000
    assert sorted(bodies(taken)) == sorted(f"event {number}".encode() for number in range(3_000))


def test_after_close_nothing_is_promised(lane: Lane) -> None:
    broker = lane.open()
    broker.close()
    futures = broker.publish([message(1)])
    assert [future.result(WAIT_SECONDS) for future in futures] == [Published.LOST]
