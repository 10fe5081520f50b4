"""A real broker that takes nothing for now: alarms of memory and disk, a full queue for the partner, a broker that is gone. What was
accepted stays, nothing spins, the outbox says why, and all of it resumes by itself.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import structlog

from broker.amqp import ConnectionTarget, Password, RabbitLane, connect_to
from broker.outbox.store import Outbox
from broker.relay.relay import Relay
from broker.trust.anchors import TrustStore
from broker.trust.authority import create_authority
from deploy.lab.rabbitmq import ADMIN, RabbitNode
from tests.unit.outbox.drafts import HOUSE, POST, draft
from tests.unit.producers.examples import settings_of
from tests.unit.relay.frontier import RELAY, identity_of

WAIT_SECONDS = 60.0
QUEUE = "federation: outbound -> af"


def wait_until(true: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@dataclass
class Post:
    """A relay at work over a real lane whose other end nobody takes from."""

    node: RabbitNode
    lane: RabbitLane
    outbox: Outbox
    relay: Relay
    api: httpx.Client
    accepted: int = 0

    def accept(self, count: int, *, bulky: bool = False) -> None:
        """Accept so many new declarations; bulky ones have a kilobyte that nothing can compress."""
        numbers = range(self.accepted + 1, self.accepted + count + 1)
        self.outbox.accept([draft(number, content=secrets.token_hex(500) if bulky else "") for number in numbers])
        self.accepted += count
        self.relay.wake()

    @property
    def waiting(self) -> int:
        """What the broker has not confirmed."""
        return sum(depth.waiting for depth in self.outbox.counts())

    def why(self) -> list[str]:
        """What the outbox says of what hinders its relay."""
        return [one.code for one in self.outbox.hindrances()]

    def purge(self) -> None:
        """Let the partner take what waits for it."""
        self.api.delete(f"/queues/af/{QUEUE.replace(' ', '%20').replace(':', '%3A').replace('>', '%3E')}/contents").raise_for_status()


@pytest.fixture(scope="module")
def node(rabbitmq_installed: None) -> Iterator[RabbitNode]:
    """A broker of its own: alarms concern all who use it."""
    with tempfile.TemporaryDirectory(prefix="panj-pressure-", ignore_cleanup_errors=True) as directory:
        found = RabbitNode(Path(directory) / "broker", "pressure", None, secrets.token_urlsafe(12), plain=True)
        found.start()
        try:
            with _api(found) as api:
                _declare(api)
            yield found
        finally:
            found.kill()


def _api(node: RabbitNode) -> httpx.Client:
    return httpx.Client(base_url=f"{node.management_url}/api", auth=(ADMIN, node.admin_password), timeout=30, trust_env=False)


def _declare(api: httpx.Client) -> None:
    quoted = QUEUE.replace(" ", "%20").replace(":", "%3A").replace(">", "%3E")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    full = {"pattern": "^federation: ", "apply-to": "queues", "definition": {"max-length-bytes": 1_000_000, "overflow": "reject-publish"}}
    for path, body in {
        "/vhosts/af": {},
        f"/permissions/af/{ADMIN}": everything,
        "/exchanges/af/outbound": {"type": "topic", "durable": True},
        f"/queues/af/{POST.unit}": {"durable": True, "arguments": {"x-queue-type": "quorum"}},
        f"/queues/af/{quoted}": {"durable": True},
        "/policies/af/full": full,
    }.items():
        api.put(path, json=body).raise_for_status()
    api.post(f"/bindings/af/e/outbound/q/{quoted}", json={"routing_key": "#"}).raise_for_status()


@pytest.fixture
def post(node: RabbitNode, tmp_path: Path) -> Iterator[Post]:
    tajik, afghan = create_authority(tmp_path / "tj", "tj"), create_authority(tmp_path / "af", "af")
    trust = TrustStore({"af": afghan.anchor}, {"af": afghan.crl.parent})
    settings = settings_of(tmp_path).model_copy(update={"relay": RELAY.model_copy(update={"window_events": 100_000})})
    target = ConnectionTarget("127.0.0.1", node.amqp_port, "af", Password(ADMIN, node.admin_password))
    lane = connect_to(target, confirm_seconds=5)
    outbox = Outbox.open(f"sqlite:///{tmp_path}/outbox.sqlite", POST, "test")
    relay = Relay(settings, POST, outbox, identity_of(tajik, POST), trust, {"af": lane})
    stop = threading.Event()
    running = threading.Thread(target=relay.run, args=(stop,))
    running.start()
    try:
        with _api(node) as api:
            found = Post(node, lane, outbox, relay, api)
            found.purge()
            found.accept(10)
            wait_until(lambda: found.waiting == 0)
            yield found
    finally:
        stop.set()
        relay.wake()
        running.join(30)
        lane.close()
        outbox.close()


ALARMS = {
    "disk": (("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", "50MB")),
    "memory": (("set_vm_memory_high_watermark", "absolute", "1MB"), ("set_vm_memory_high_watermark", "0.4")),
}


@pytest.mark.parametrize("resource", list(ALARMS))
def test_an_alarm_is_waited_out_and_told_once(post: Post, resource: str) -> None:
    raised, ended = ALARMS[resource]
    with structlog.testing.capture_logs() as logs:
        post.node.control(*raised)
        try:
            post.accept(1_200)
            wait_until(lambda: post.why() == ["broker-blocked"])
            time.sleep(7)  # past the bound of what was handed over: it is given up, and kept in the outbox
            assert not post.lane.connected()
            assert post.waiting == 1_200
            assert resource in post.outbox.hindrances()[0].words
        finally:
            post.node.control(*ended)
        wait_until(lambda: post.waiting == 0)
        wait_until(lambda: post.why() == [])
    told = [entry["event"] for entry in logs if entry["event"].startswith("publishing.")]
    assert told == ["publishing.blocked", "publishing.unblocked"]
    bundles = [entry for entry in logs if entry["event"] == "bundle.relayed"]
    assert len(bundles) <= 12  # what was given up is published once more, and not again and again


def test_a_full_queue_for_the_partner_refuses_and_the_outbox_keeps_the_rest(post: Post) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(4):
            post.accept(1_000, bulky=True)  # 640 kB, and the queue holds a megabyte
        wait_until(lambda: post.why() == ["broker-refuses"])
        waiting = post.waiting
        time.sleep(4)
        assert 0 < post.waiting == waiting
        assert len([entry for entry in logs if entry["event"] == "bundle.relayed"]) < 30
        end = time.monotonic() + WAIT_SECONDS
        while post.waiting:
            assert time.monotonic() < end
            post.purge()
            time.sleep(0.2)
        wait_until(lambda: post.why() == [])
    events = [entry["event"] for entry in logs if entry["event"] in ("bundle.returned", "outage.ended")]
    assert events[0] == "bundle.returned"
    assert events[-1] == "outage.ended"
    assert HOUSE.is_house


@pytest.mark.timeout(180)
def test_a_broker_that_is_gone_is_told_and_come_back_it_is_used_again(post: Post) -> None:
    post.node.kill()
    try:
        post.accept(50)
        wait_until(lambda: post.why() == ["broker-away"])
        assert post.waiting == 50
    finally:
        post.node.start()
    wait_until(lambda: post.waiting == 0)
    wait_until(lambda: post.why() == [])
