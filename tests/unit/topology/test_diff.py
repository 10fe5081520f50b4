"""What must change, decided over values alone."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.settings.load import load_settings
from broker.topology.check import judge
from broker.topology.derive import derive
from broker.topology.diff import Action, TopologyDiff, compare
from broker.topology.model import Binding, Permission, Policy, Queue, Topology, User, VirtualHost
from broker.topology.observe import BrokerState, LinkState, Listener, QueueState

SETTINGS = load_settings(Path(__file__).parents[3] / "deploy" / "exchange.example.toml")
WANTED = derive(SETTINGS)
SECTIONS = [field.name for field in fields(Topology) if field.name != "cluster_name"]


def _without(topology: Topology, section: str, index: int) -> Topology:
    things: tuple[Any, ...] = getattr(topology, section)
    changed: dict[str, Any] = {section: things[:index] + things[index + 1 :]}
    return replace(topology, **changed)


def test_a_broker_that_stands_as_it_should_needs_nothing() -> None:
    assert compare("tj", WANTED, WANTED).clean


def test_an_empty_broker_needs_everything_in_the_order_of_making() -> None:
    diff = compare("tj", WANTED, Topology())
    assert [change.wanted for change in diff.changes] == list(WANTED.things())
    kinds = [change.thing.kind for change in diff.changes]
    assert kinds.index("policy") < kinds.index("queue") < kinds.index("binding") < kinds.index("upstream")


@given(st.data())
def test_whatever_is_missing_is_made_and_nothing_else_is_touched(data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(SECTIONS))
    index = data.draw(st.integers(0, len(getattr(WANTED, section)) - 1))
    diff = compare("tj", WANTED, _without(WANTED, section, index))
    assert [(change.action, change.wanted) for change in diff.changes] == [(Action.CREATE, getattr(WANTED, section)[index])]


@given(st.data())
def test_whatever_of_ours_is_no_longer_wanted_is_removed_and_nothing_is_made(data: st.DataObject) -> None:
    section = data.draw(st.sampled_from([name for name in SECTIONS if name not in ("topic_permissions", "exchanges")]))
    index = data.draw(st.integers(0, len(getattr(WANTED, section)) - 1))
    thing = getattr(WANTED, section)[index]
    diff = compare("tj", _without(WANTED, section, index), WANTED)
    assert {change.action for change in diff.changes} <= {Action.REMOVE}
    deliberate = isinstance(thing, VirtualHost | Queue | User)
    ours = not isinstance(thing, Permission) or thing.user != "panj-admin"
    if ours:
        assert (thing, deliberate) in [(change.found, change.deliberate) for change in diff.changes]
    assert all(change in diff.pending(remove=True) for change in diff.changes)
    assert not any(change.deliberate for change in diff.pending(remove=False))


def test_what_goes_with_a_lane_is_not_listed_apart() -> None:
    wanted = derive(SETTINGS.model_copy(update={"home": None}))
    diff = compare("tj", wanted, WANTED, {("tj", "tj-customs.record"): 7, ("af", "tj-customs.record"): 5})
    assert [(change.thing, change.messages) for change in diff.changes] == [(VirtualHost("tj", ("panj",)), 7)]


def test_a_difference_is_shown_before_and_after() -> None:
    found = replace(WANTED, users=tuple(replace(user, tags=("administrator",), password=True) for user in WANTED.users))
    diff = compare("tj", WANTED, found)
    assert {change.action for change in diff.changes} == {Action.CHANGE}
    assert diff.changes[0].found == replace(WANTED.users[0], tags=("administrator",), password=True)


def test_a_queue_with_other_arguments_is_a_conflict_and_never_pending() -> None:
    other = Queue("af", "tj-customs", (("x-queue-type", "classic"),))
    found = replace(WANTED, queues=tuple(other if queue.key == other.key else queue for queue in WANTED.queues))
    diff = compare("tj", WANTED, found)
    assert [change.action for change in diff.changes] == [Action.CONFLICT]
    assert diff.pending(remove=True) == ()


def test_what_others_keep_on_the_broker_is_left_alone() -> None:
    found = replace(
        WANTED,
        vhosts=(*WANTED.vhosts, VirtualHost("/"), VirtualHost("uz")),
        users=(*WANTED.users, User("guest", ("administrator",), password=True), User("monitoring", ("monitoring",))),
        permissions=(*WANTED.permissions, Permission("af", "monitoring", "^$", "^$", ".*")),
        policies=(*WANTED.policies, Policy("af", "watch", "^watch", "queues", (("max-length", 5),))),
        queues=(*WANTED.queues, Queue("af", "watch"), Queue("af", "federation: outbound -> af:tj:inbound", ())),
        bindings=(*WANTED.bindings, Binding("af", "inbound", "watch", "#")),
    )
    assert compare("tj", WANTED, found).clean


def _state(**changes: Any) -> BrokerState:
    state = BrokerState(
        version="3.10.8",
        cluster_name="tj",
        links=(LinkState("af", "running"),),
        queues=(QueueState("af", "federation: outbound -> af:tj:inbound", 0, 0, 1, 0),),
        alarms=(),
        blocked_connections=(),
        listeners=(
            Listener("amqp/ssl", "::", 5671, True),
            Listener("http", "127.0.0.1", 15672, False),
            Listener("clustering", "::", 25672, False),
        ),
    )
    return replace(state, **changes)


def test_a_broker_in_order_gives_no_finding() -> None:
    assert judge(SETTINGS, TopologyDiff(), _state()) == ()


def test_each_trouble_is_a_finding_of_its_own() -> None:
    drifted = compare("tj", WANTED, _without(WANTED, "policies", 0))
    state = _state(
        links=(LinkState("af", "error", error="econnrefused"),),
        queues=(QueueState("af", "federation: outbound -> af:tj:inbound", 12, 0, 0, 999),),
        alarms=("rabbit@tj: disk is short: publishers are blocked",),
        blocked_connections=("tj-panji-poyon in af",),
        listeners=(Listener("amqp", "::", 5672, False),),
    )
    found = judge(SETTINGS, drifted, state)
    assert [finding.code for finding in found] == [
        "topology-drift",
        "topology-link-down",
        "topology-partner-away",
        "topology-alarm",
        "topology-blocked",
        "topology-listener-open",
    ]
    assert "12 bundles wait" in found[2].text


def test_a_partner_that_never_connected_is_told() -> None:
    assert [finding.subject for finding in judge(SETTINGS, TopologyDiff(), _state(queues=()))] == ["partner af"]
