"""Faults of the brokers: killed, wiped, alarmed, full, changed under load; and deliveries that come twice and in any order."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from broker.topology import derive
from deploy.lab.administrations import Administration
from deploy.lab.rabbitmq import RabbitNode
from tests.faults.fault import HOUSE, POST, RECEIVING, SENDING, Breach, Control, Fault, Run
from tests.faults.ledger import CROSSINGS
from tests.faults.scene import Scene
from tests.faults.shuffler import shuffling

CONFIRM_ENDS_IT = {POST: ("receipts",)}


def _broker_killed(country: str) -> Run:
    """Killed with something in it: the line is cut before, so that what was relayed waits in the sender's broker."""

    def run(scene: Scene) -> None:
        node = scene.lab.nodes[country]
        for _ in scene.times(1, 2, 10):
            scene.wave.drop(150)
            scene.settles(1)
            if country == SENDING:
                scene.lab.cut()
                scene.go_on(2)
            node.kill()
            scene.go_on(0.5)
            node.start()
            scene.lab.mend()

    return run


def _broker_wiped(country: str) -> Run:
    """Wiped with something in it: what it held is in no queue any more, neither bundles nor receipts."""

    def run(scene: Scene) -> None:
        node, side = scene.lab.nodes[country], scene.sender if country == SENDING else scene.receiver
        if country == SENDING:
            scene.lab.cut()
        else:
            scene.stop(HOUSE)
        scene.go_on(2, 4)
        node.kill()
        node.wipe()
        node.start()
        scene.apply(side)  # what an operator does first
        scene.lab.mend()
        if country != SENDING:
            scene.start(HOUSE)

    return run


def _upstream_changed(scene: Scene) -> None:
    """Eight changes, as in DESIGN.md 4; each makes the broker begin its link anew."""
    seconds = "reconnect_delay_seconds = "
    for number in scene.times(4, 8, 40):
        before, after = (1, 2) if number % 2 == 0 else (2, 1)
        scene.wave.drop(100)
        scene.go_on(random.uniform(0.2, 1.0))
        with scene.slow_line(0.3):  # so that something is on its way when it happens
            scene.edit(scene.receiver, f"{seconds}{before}", f"{seconds}{after}")
            scene.apply(scene.receiver)


@contextmanager
def _cleaning_up(scene: Scene) -> Iterator[None]:
    """Without `resource-cleanup-mode: never` a broker deletes its queue at the partner's with every change of the link."""
    original = derive._upstream

    def upstream(*arguments: Any) -> Any:
        return tuple(pair for pair in original(*arguments) if pair[0] != "resource-cleanup-mode")

    with _derived(scene, upstream):
        yield


@contextmanager
def _derived(scene: Scene, upstream: Any) -> Iterator[None]:
    original = derive._upstream
    setattr(derive, "_upstream", upstream)  # noqa: B010  mypy keeps a function from being replaced
    try:
        scene.apply(scene.receiver)
        yield
    finally:
        setattr(derive, "_upstream", original)  # noqa: B010
        scene.apply(scene.receiver)


def _alarmed(country: str, *, disk: bool) -> Run:
    """An alarm blocks publishers; both daemons of the side die while it lasts, so that nothing may rest in their memory."""

    def run(scene: Scene) -> None:
        node = scene.lab.nodes[country]
        _alarm(node, disk=disk)
        try:
            scene.go_on(2, 5, 60)
            name = POST if country == SENDING else HOUSE
            scene.kill(name)
            scene.start(name)
            scene.go_on(1, 3, 60)
        finally:
            _calm(node, disk=disk)

    return run


def _alarm(node: RabbitNode, *, disk: bool) -> None:
    if disk:
        node.control("set_disk_free_limit", "1000000GB")
    else:
        node.control("set_vm_memory_high_watermark", "absolute", "1MB")


def _calm(node: RabbitNode, *, disk: bool) -> None:
    if disk:
        node.control("set_disk_free_limit", "50MB")
    else:
        node.control("set_vm_memory_high_watermark", "0.4")


def _federation_queue_full(scene: Scene) -> None:
    """The line is cut, and what waits for it fills the queue; the post is told so for each bundle, and keeps them."""
    _bound_federation_queue(scene, scene.sender, 30_000)
    scene.lab.cut()
    try:
        scene.wave.drop(200)
        scene.go_on(2, 5, 30)
    finally:
        scene.lab.mend()
        scene.apply(scene.sender)


def _bound_federation_queue(scene: Scene, side: Administration, size_bytes: int) -> None:
    partner = scene.lab.partner_of(side).plan.country
    with scene.management(side) as api:
        policy = {"pattern": derive.FEDERATION_QUEUES, "apply-to": "queues", "definition": {"max-length-bytes": size_bytes}, "priority": 0}
        api.put("operator-policies", partner, derive.BYTES_POLICY, value=policy)
    time.sleep(0.5)  # the queue's own process takes it up a moment later


def _no_route(scene: Scene) -> None:
    """The partner's link is not there yet, and its queue neither: what is published finds no queue."""
    partner = scene.receiver.plan.country
    scene.lab.cut()
    with scene.management(scene.sender) as api:
        for queue in api.get("queues", partner, columns="name"):
            if queue["name"].startswith("federation: "):
                api.delete("queues", partner, queue["name"])
    scene.go_on(2, 5, 30)
    scene.lab.mend()


def _consumers_changed(scene: Scene) -> None:
    """Crossing events get a queue of their own and lose it again, each time with the topology applied and the house started again."""
    one = 'queue = "record"\ntypes = ["customs.export-declaration.v1", "customs.transit-declaration.v1", "customs.crossing-event.v1", '
    two = one.replace('"customs.crossing-event.v1", ', "")
    crossings = f'[[house.consumers]]\nqueue = "{CROSSINGS}"\ntypes = ["customs.crossing-event.v1"]\nhandler = "tests.faults.ledger"\n\n'
    before = scene.receiver.config.read_text()
    assert one in before
    for _ in scene.times(1, 2, 5):
        for text in (before.replace(one, two).replace("[posts", f"{crossings}[posts", 1), before):
            scene.stop(HOUSE)
            scene.go_on(1)  # what comes meanwhile waits in queues that may go
            scene.receiver.config.write_text(text)
            scene.apply(scene.receiver, remove=True)
            scene.start(HOUSE)
            scene.settles(10)


def _twice_and_shuffled(scene: Scene) -> None:
    with shuffling(scene.receiver, scene.sender.plan.country), shuffling(scene.sender, scene.receiver.plan.country):
        scene.settles(20, 0)
        scene.go_on(2, 5, 60)
        scene.settles(20, 1)


FAULTS = (
    Fault(
        "sending-broker-killed",
        "kill -9 of the sender's broker, with bundles in it that could not cross",
        _broker_killed(SENDING),
        Control("messages are not persistent, and a confirm is the end", Breach.LOST, {POST: ("persistence", "receipts")}),
        soak=True,
    ),
    Fault(
        "receiving-broker-killed",
        "kill -9 of the receiver's broker, with deliveries in the house's hands",
        _broker_killed(RECEIVING),
        Control("the house's inbox forgets", Breach.TWICE, {HOUSE: ("inbox",)}),
        short=True,
        soak=True,
    ),
    Fault(
        "sending-broker-wiped",
        "the sender's broker loses its disk, with bundles in it that could not cross",
        _broker_wiped(SENDING),
        Control("a confirm is the end", Breach.LOST, CONFIRM_ENDS_IT),
        soak=True,
    ),
    Fault(
        "receiving-broker-wiped",
        "the receiver's broker loses its disk, with bundles in it that nobody had taken",
        _broker_wiped(RECEIVING),
        Control("a confirm is the end", Breach.LOST, CONFIRM_ENDS_IT),
        short=True,
        soak=True,
    ),
    Fault(
        "upstream-changed",
        "the link's settings are changed and the topology applied, again and again",
        _upstream_changed,
        Control("the queue goes with the link, and a confirm is the end", Breach.LOST, CONFIRM_ENDS_IT, around=_cleaning_up),
        soak=True,
    ),
    Fault(
        "sending-broker-memory-alarm",
        "the sender's broker blocks publishers for lack of memory; the post dies meanwhile",
        _alarmed(SENDING, disk=False),
        Control("what waits is kept in memory", Breach.UNSETTLED, {POST: ("outbox",)}),
        soak=True,
    ),
    Fault(
        "receiving-broker-disk-alarm",
        "the receiver's broker blocks publishers for lack of disk, receipts and the link too; the house dies meanwhile",
        _alarmed(RECEIVING, disk=True),
        Control("the house's inbox forgets", Breach.TWICE, {HOUSE: ("inbox",)}),
        soak=True,
    ),
    Fault(
        "federation-queue-full",
        "the line is cut until the queue for it is full, and the broker refuses more",
        _federation_queue_full,
        Control("a refusal is taken for a confirm, and nothing is sent again", Breach.UNSETTLED, {POST: ("nacks", "resends")}),
        soak=True,
    ),
    Fault(
        "no-route",
        "the partner's queue is not there, until its link declares it",
        _no_route,
        Control("what finds no queue is thrown away, and a confirm is the end", Breach.LOST, {POST: ("mandatory", "receipts")}),
        short=True,
        soak=True,
    ),
    Fault(
        "consumers-changed",
        "the house's consumers are changed in exchange.toml, and changed back",
        _consumers_changed,
        Control("a confirm is the end", Breach.LOST, CONFIRM_ENDS_IT),
    ),
    Fault(
        "twice-and-shuffled",
        "every message is delivered twice, in another order, both ways",
        _twice_and_shuffled,
        Control("the house's inbox forgets", Breach.TWICE, {HOUSE: ("inbox",)}),
        short=True,
        soak=True,
    ),
)
