"""Two brokers federate with the derived topology over mutual TLS, each trusting only its own authority."""

from __future__ import annotations

import re
from typing import Any

import pytest

from broker.settings.model import Settings
from broker.topology.apply import apply_topology
from broker.topology.check import judge
from broker.topology.derive import derive
from broker.topology.diff import TopologyDiff
from broker.topology.observe import BrokerState, observe_broker
from tests.integration.topology.conftest import Frontier, Side
from tests.integration.topology.waiting import until

KEY = "af-customs.customs-export-declaration-v1.tj-panji-poyon"


def _running(side: Side) -> BrokerState | None:
    state = observe_broker(side.settings)
    return state if all(link.running for link in state.links) else None


@pytest.fixture
def linked(applied: Frontier) -> Frontier:
    for side in (applied.tj, applied.af):
        assert until(lambda side=side: _running(side)), observe_broker(side.settings).links  # type: ignore[misc]
    return applied


def _take(side: Side, lane: str, unit: str, queue: str) -> bytes | str | None:
    with side.client(lane, unit) as client:
        return until(lambda: client.get(queue))


def _publish(side: Side, lane: str, unit: str, key: str, body: bytes) -> str:
    """Publish once the partner's link has told our broker what its house takes."""
    with side.client(lane, unit) as client:
        return until(lambda: None if (answer := client.publish("outbound", key, body)) == "unroutable" else answer) or "unroutable"


def test_what_is_published_outbound_arrives_inbound_both_ways(linked: Frontier) -> None:
    assert _publish(linked.tj, "af", "tj-panji-poyon", KEY, b"declaration") == "confirmed"
    assert _take(linked.af, "tj", "af-customs", "af-customs.record") == b"declaration"
    assert _publish(linked.af, "tj", "af-customs", "tj-panji-poyon.customs-receipt-v1.af-customs", b"receipt") == "confirmed"
    assert _take(linked.tj, "af", "tj-panji-poyon", "tj-panji-poyon") == b"receipt"


def test_what_nobody_takes_comes_back_to_the_publisher(linked: Frontier) -> None:
    with linked.tj.client("af", "tj-panji-poyon") as post:
        assert post.publish("outbound", "af-customs.customs-nonsense-v1.tj-panji-poyon") == "unroutable"


def test_the_home_lane_joins_outbound_and_inbound(linked: Frontier) -> None:
    key = "tj-customs.customs-crossing-event-v1.tj-ishkoshim"
    with linked.tj.client("tj", "tj-customs") as house:
        until(lambda: house.get("tj-customs.record") is None)
    assert _publish(linked.tj, "tj", "tj-ishkoshim", key, b"home") == "confirmed"
    assert _take(linked.tj, "tj", "tj-customs", "tj-customs.record") == b"home"


def test_changing_the_upstream_loses_nothing_that_waits(linked: Frontier) -> None:
    """`resource-cleanup-mode: never`: without it the partner's queue is deleted with all in it at each change."""
    settings = linked.af.settings
    with linked.af.api() as api:
        api.put("parameters", "federation-upstream", "tj", "tj", value={"value": _broken(settings)})
        until(lambda: not all(link.running for link in observe_broker(settings, api).links))
    for number in range(20):
        assert _publish(linked.tj, "af", "tj-panji-poyon", KEY, b"%d" % number) == "confirmed"
    changed = apply_topology(settings)
    assert [change.thing.kind for change in changed.changes] == ["upstream"]
    with linked.af.client("tj", "af-customs") as house:
        got = [until(lambda: house.get("af-customs.record")) for _ in range(20)]
    assert got == [b"%d" % number for number in range(20)]


def _with_queue_bytes(settings: Settings, limit_bytes: int) -> Settings:
    partner = settings.partners["af"]
    link = partner.link.model_copy(update={"federation_queue_max_bytes": limit_bytes})
    return settings.model_copy(update={"partners": {"af": partner.model_copy(update={"link": link})}})


def _broken(settings: Settings) -> dict[str, Any]:
    upstream = dict(derive(settings).upstreams[0].definition)
    return upstream | {"uri": re.sub(r":\d+/", ":1/", str(upstream["uri"]))}  # nobody listens there


def test_a_full_federation_queue_refuses_what_is_new_and_drops_nothing(linked: Frontier) -> None:
    with linked.tj.api() as api:
        name = next(queue.name for queue in observe_broker(linked.tj.settings, api).federation_queues)
        effective = until(lambda: api.get("queues", "af", name).get("effective_policy_definition"))
    assert effective == {"overflow": "reject-publish", "max-length-bytes": 2 * 1024**3}
    tight = _with_queue_bytes(linked.tj.settings, 1024**2)
    apply_topology(tight)
    with linked.af.api() as api:
        api.put("parameters", "federation-upstream", "tj", "tj", value={"value": _broken(linked.af.settings)})
        until(lambda: not all(link.running for link in observe_broker(linked.af.settings, api).links))
    confirmed = []
    for number in range(40):
        body = b"%02d" % number + b"." * 100_000
        if _publish(linked.tj, "af", "tj-panji-poyon", KEY, body) != "confirmed":
            break
        confirmed.append(body)
    assert 8 <= len(confirmed) <= 20
    apply_topology(linked.af.settings)
    with linked.af.client("tj", "af-customs") as house:
        assert [until(lambda: house.get("af-customs.record")) for _ in confirmed] == confirmed
    apply_topology(linked.tj.settings)


def test_observation_sees_links_queues_and_listeners(linked: Frontier) -> None:
    def seen() -> BrokerState | None:
        found = observe_broker(linked.tj.settings)
        return found if found.federation_queues and all(queue.consumers for queue in found.federation_queues) else None

    state = until(seen)
    assert state is not None
    assert state.cluster_name == "tj"
    assert [link.partner for link in state.links] == ["af"]
    assert {queue.name for queue in state.queues} >= {"tj-customs", "tj-customs.record", "tj-panji-poyon"}
    assert all(each.tls or each.is_loopback for each in state.listeners)
    assert (state.alarms, state.blocked_connections) == ((), ())
    assert judge(linked.tj.settings, TopologyDiff(), state) == ()


def test_removing_a_link_user_ends_its_connection_at_once(linked: Frontier) -> None:
    with linked.af.api() as api:
        api.delete("users", "link-tj")
    assert until(lambda: _running(linked.tj) is None)
    apply_topology(linked.af.settings)
    assert until(lambda: _running(linked.tj))
