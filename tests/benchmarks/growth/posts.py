"""Costs against the number of posts at one house and one broker: a batch with events of all, the topology, the broker itself."""

from __future__ import annotations

import time
from concurrent.futures import wait

from broker.amqp import ConnectionTarget, Password, RabbitLane, connect_to
from broker.ports import Message
from broker.settings.model import Settings
from broker.topology.apply import apply_topology, plan_topology
from broker.topology.derive import derive
from broker.topology.diff import compare
from broker.topology.management import ManagementApi
from broker.topology.model import Topology
from deploy.lab.rabbitmq import ADMIN, RabbitNode
from tests.benchmarks.growth.administration import plain_node, settings_with
from tests.benchmarks.growth.curves import Curve
from tests.benchmarks.growth.house import HouseGround, house_ground
from tests.benchmarks.growth.measuring import Form, Series, Tally
from tests.benchmarks.growth.post import DECLARATION

BUNDLES, EVENTS = 250, 2  # a batch of 500 from as many bundles, whoever sent them: only the number of posts changes
SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
NODE_SIZES = (1, 10, 50, 200)
MESSAGES = 2_000
IDLE_SECONDS = 5.0
SECONDS_TO_REST = 3.0  # the management plugin and the queues' election have ended by then


def by_posts(form: Form) -> list[Curve]:
    """A house's batch, and everything about a broker's topology."""
    batch = Series()
    with house_ground() as here:
        for posts in SIZES:
            batch.add(posts, {"take in a batch of all": _take_in(here, posts, form.rounds)})
    topology = Series()
    with plain_node() as (node, directory):
        for posts in NODE_SIZES:
            topology.add(posts, _broker(node, settings_with(directory, posts, 1, node.management_url), posts, form))
    series = {**batch.points, **topology.points}
    return [Curve("posts", name, "posts at one house", _UNITS.get(name, DECLARATION), tuple(points)) for name, points in series.items()]


_UNITS = {
    "derive and compare": "µs a post",
    "plan": "ms a post",
    "apply": "ms a post",
    "broker's memory": "MB",
    "broker, idle": "ms a second",
    "broker, one message": "µs a message",
}


def _take_in(here: HouseGround, posts: int, rounds: int) -> float:
    every = [here.frontier.new_post(f"post-{number}") for number in range(posts)]
    batches = [[here.bundle(every[number % posts], EVENTS) for number in range(BUNDLES)] for _ in range(rounds + 1)]
    return here.cost_of_taking_in(batches, BUNDLES * EVENTS)


def _broker(node: RabbitNode, settings: Settings, posts: int, form: Form) -> dict[str, float]:
    tally = Tally()
    for _ in range(form.rounds):
        with tally.of("derive and compare", posts):
            compare(settings.country, derive(settings), Topology())
    added = max(1, posts - max([size for size in NODE_SIZES if size < posts], default=0))
    began = time.perf_counter()
    apply_topology(settings)
    tally.add("apply", (time.perf_counter() - began) / added * 1e3)
    with ManagementApi(settings.broker.management) as api:
        began = time.perf_counter()
        assert not plan_topology(settings, api).changes
        tally.add("plan", (time.perf_counter() - began) / posts * 1e3)
    time.sleep(SECONDS_TO_REST)
    tally.add("broker's memory", node.rss_bytes() / 1e6)
    used = node.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    tally.add("broker, idle", (node.cpu_seconds() - used) / IDLE_SECONDS * 1e3)
    lane = connect_to(ConnectionTarget("127.0.0.1", node.amqp_port, settings.country, Password(ADMIN, node.admin_password)))
    try:
        _receipts(lane, posts)  # warm
        used = node.cpu_seconds()
        _receipts(lane, posts)
        tally.add("broker, one message", (node.cpu_seconds() - used) / MESSAGES * 1e6)
    finally:
        lane.close()
    return tally.medians()


def _receipts(lane: RabbitLane, posts: int) -> None:
    """Publish receipts to all posts in turn, through the exchange that they are all bound to, and take them there."""
    keys = [f"tj-post-{number % posts + 1}.customs-receipt-v1.tj-customs" for number in range(MESSAGES)]
    for start in range(0, MESSAGES, 200):
        done = lane.publish([Message(key, b"x" * 10_000, {}, "application/octet-stream") for key in keys[start : start + 200]])
        wait(done, 60)
        assert {future.result().name for future in done} == {"CONFIRMED"}
