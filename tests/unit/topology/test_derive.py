"""What is derived from exchange.toml: names, rights and policies, without any broker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.settings.load import load_settings
from broker.settings.model import Link, Settings
from broker.topology.definitions import from_definitions, to_definitions
from broker.topology.derive import derive, upstream_uri
from broker.topology.model import Binding, Topology
from broker.topology.render import render
from schemas.errors import SettingsError
from schemas.names import STREAM_TYPES, EventType, Party, house_of, routing_key

EXAMPLE = Path(__file__).parents[3] / "deploy" / "exchange.example.toml"
UNIT_NAMES = st.from_regex(r"[a-z0-9]{1,6}(-[a-z0-9]{1,6}){0,2}", fullmatch=True)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(EXAMPLE)


@pytest.fixture(scope="module")
def topology(settings: Settings) -> Topology:
    return derive(settings)


def _reached(topology: Topology, lane: str, key: str) -> set[str]:
    """Route as a topic exchange would, for patterns whose only wildcard is `*`."""
    words = key.split(".")
    found = set()
    for binding in topology.bindings:
        pattern = binding.routing_key.split(".")
        matches = len(words) == len(pattern) and all(left in ("*", right) for left, right in zip(pattern, words, strict=True))
        if (binding.vhost, binding.source) == (lane, "inbound") and matches:
            found.add(binding.destination)
    return found


def test_there_is_a_lane_per_partner_and_one_of_our_own(topology: Topology) -> None:
    assert [vhost.name for vhost in topology.vhosts] == ["af", "tj"]
    assert [(upstream.vhost, upstream.name) for upstream in topology.upstreams] == [("af", "af")]


def test_the_home_lane_is_joined_and_never_federated(topology: Topology) -> None:
    assert Binding("tj", "outbound", "inbound", "#", destination_type="exchange") in topology.bindings
    assert [policy.vhost for policy in topology.policies if policy.name == "panj-upstream"] == ["af"]
    assert [policy.vhost for policy in topology.operator_policies] == ["af"]


def test_every_stream_type_that_the_house_takes_reaches_its_consumer_and_nobody_else(topology: Topology) -> None:
    origin = Party("af", "sher-khan-bandar")
    for event_type in STREAM_TYPES:
        assert _reached(topology, "af", routing_key(house_of("tj"), event_type, origin)) == {"tj-customs.record"}


def test_control_events_reach_the_unit_they_are_for(topology: Topology) -> None:
    post, house = Party("tj", "panji-poyon"), house_of("tj")
    for event_type in (
        EventType.RECEIPT,
        EventType.BEACON,
        EventType.MANIFEST_ANSWER,
        EventType.MANIFEST_REQUEST,
        EventType.RECOVERY_ANSWER,
        EventType.CRL,
    ):
        assert _reached(topology, "af", routing_key(post, event_type, house_of("af"))) == {"tj-panji-poyon"}
    for event_type in (EventType.BEACON, EventType.MANIFEST, EventType.RECOVERY, EventType.WITHDRAWAL, EventType.CRL):
        assert _reached(topology, "af", routing_key(house, event_type, Party("af", "eshkashim"))) == {"tj-customs"}
    assert _reached(topology, "af", routing_key(post, EventType.EXPORT_DECLARATION, house_of("af"))) == set()


def test_no_queue_has_another_argument_than_its_type(topology: Topology) -> None:
    assert {queue.arguments for queue in topology.queues} == {(("x-queue-type", "quorum"),)}


def test_nothing_is_asked_that_rabbitmq_3_10_refuses(topology: Topology) -> None:
    assert {policy.apply_to for policy in (*topology.policies, *topology.operator_policies)} <= {"queues", "exchanges"}
    assert all("queue-type" not in dict(upstream.definition) for upstream in topology.upstreams)
    limits = [dict(policy.definition)["delivery-limit"] for policy in topology.policies if policy.name == "panj-quorum"]
    assert all(isinstance(limit, int) and limit > 1_000_000 for limit in limits)
    assert all(set(dict(policy.definition)) == {"max-length-bytes"} for policy in topology.operator_policies)


def test_no_policy_bounds_or_drops_what_we_receive(topology: Topology) -> None:
    for queue in topology.queues:
        for policy in (*topology.policies, *topology.operator_policies):
            if policy.apply_to == "queues" and re.search(policy.pattern, queue.name):
                assert set(dict(policy.definition)) == {"delivery-limit"}


def test_the_upstream_keeps_what_waits_and_confirms_on_arrival(topology: Topology) -> None:
    upstream = dict(topology.upstreams[0].definition)
    assert upstream["ack-mode"] == "on-confirm"
    assert upstream["resource-cleanup-mode"] == "never"
    assert upstream["max-hops"] == 1
    assert upstream["trust-user-id"] is False
    assert upstream["exchange"] == "outbound"


def test_users_have_no_password_and_no_tags(topology: Topology) -> None:
    assert {user.name for user in topology.users} == {"tj-customs", "tj-panji-poyon", "link-af"}
    for entry in to_definitions(topology.users)["users"]:
        assert (entry["password_hash"], entry["tags"]) == ("", "")


@given(name=UNIT_NAMES, other=UNIT_NAMES)
def test_no_unit_may_publish_in_the_name_of_another(name: str, other: str) -> None:
    topology = derive(_one_post(name))
    patterns = [each.write for each in topology.topic_permissions if each.user == f"tj-{name}"]
    assert patterns
    for pattern in patterns:
        assert re.search(pattern, f"af-customs.customs-export-declaration-v1.tj-{name}")
        assert bool(re.search(pattern, f"af-customs.customs-export-declaration-v1.tj-{other}")) == (name == other)
        assert not re.search(pattern, f"af-customs.x.tj-{other}.tj-{name}")


@given(name=UNIT_NAMES)
def test_every_queue_of_ours_is_under_the_quorum_policy_and_read_by_its_unit_only(name: str) -> None:
    topology = derive(_one_post(name))
    quorum = next(policy for policy in topology.policies if policy.name == "panj-quorum")
    units = {user.name for user in topology.users if not user.name.startswith("link-")}
    for queue in topology.queues:
        assert re.search(quorum.pattern, queue.name)
        readers = {
            each.user
            for each in topology.permissions
            if each.vhost == queue.vhost and each.user in units and re.search(each.read, queue.name)
        }
        assert readers == {queue.name.split(".")[0]}


def _one_post(name: str) -> Settings:
    settings = load_settings(EXAMPLE)
    unit = name if name != "customs" else "customs-1"
    return settings.model_copy(update={"posts": {unit: settings.posts["panji-poyon"]}})


def test_a_released_type_that_no_house_loads_is_refused(settings: Settings) -> None:
    partner = settings.partners["af"].model_copy(update={"loads": frozenset({EventType.CROSSING_EVENT})})
    with pytest.raises(SettingsError, match=r"not in partners\.af\.loads") as raised:
        derive(settings.model_copy(update={"partners": {"af": partner}}))
    assert {problem.code for problem in raised.value.problems} == {"topology-type-not-loaded"}
    assert [problem.field for problem in raised.value.problems] == ["partners.af.releases.0.type", "partners.af.releases.1.type"]


def test_the_home_lane_too_releases_only_what_our_house_loads(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=r"not in house\.consumers"):
        derive(settings.model_copy(update={"house": None}))


@given(
    directory=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
    host=st.sampled_from(["broker.customs.example", "10.0.0.7", "2001:db8::7"]),
)
def test_the_upstream_address_says_exactly_which_files_whatever_they_are_called(directory: str, host: str) -> None:
    place = Path("/") / directory
    link = Link(host=host, ca=place / "ca.pem", certificate=place / "link.pem", key=place / "link.key")
    uri = urlsplit(upstream_uri("tj", link))
    query = parse_qs(uri.query, strict_parsing=True)
    assert (uri.scheme, uri.hostname, uri.port, uri.path, uri.username, uri.password) == ("amqps", host, 5671, "/tj", None, None)
    assert query["cacertfile"] == [str(link.ca)]
    assert query["keyfile"] == [str(link.key)]
    assert query["verify"] == ["verify_peer"]
    assert query["auth_mechanism"] == ["external"]
    assert query.get("server_name_indication") == (["broker.customs.example"] if host.startswith("broker") else None)


def test_definitions_survive_the_way_there_and_back(topology: Topology) -> None:
    assert from_definitions(json.loads(json.dumps(to_definitions(topology.things())))) == topology


def test_what_is_rendered_needs_no_administrator_and_no_password(settings: Settings) -> None:
    files = render(settings)
    definitions = json.loads(files["definitions.json"])
    assert "panj-admin" not in files["definitions.json"]
    assert {user["password_hash"] for user in definitions["users"]} == {""}
    assert "listeners.tcp = none" in files["rabbitmq.conf"]
    assert "ssl_cert_login_from = common_name" in files["rabbitmq.conf"]
    assert "max_message_size = 4194304" in files["rabbitmq.conf"]
