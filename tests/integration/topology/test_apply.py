"""Applying to a real broker: idempotent, drift is seen and mended, and nothing that holds messages goes by accident."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from broker.settings.load import load_settings
from broker.settings.model import Settings
from broker.topology.apply import apply_topology, plan_topology, read_topology
from broker.topology.definitions import to_definitions
from broker.topology.derive import SPARE_QUEUES, derive
from broker.topology.diff import Action
from broker.topology.management import ManagementApi
from broker.topology.model import Topology
from broker.topology.render import render
from schemas.errors import ConflictError, SettingsError, UnavailableError
from tests.integration.topology.conftest import Frontier
from tests.integration.topology.waiting import until


def _panj(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "broker.operations.cli", "topology", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def _with(settings: Settings, directory: Path, old: str, new: str) -> Settings:
    """Give the settings of a copy of exchange.toml in which a text is replaced; it lies beside the first, so that its paths hold."""
    source = directory / "exchange.toml"
    text = source.read_text()
    assert old in text
    changed = directory / "changed.toml"
    changed.write_text(text.replace(old, new))
    return load_settings(changed)


def test_applying_twice_changes_nothing_the_second_time(frontier: Frontier) -> None:
    apply_topology(frontier.tj.settings, remove=True)
    assert apply_topology(frontier.tj.settings, remove=True).clean
    assert plan_topology(frontier.tj.settings).clean


def test_drift_is_seen_and_mended(applied: Frontier) -> None:
    settings = applied.tj.settings
    with applied.tj.api() as api:
        api.put("permissions", "af", "tj-panji-poyon", value={"configure": ".*", "write": ".*", "read": ".*"})
        api.put("users", "tj-ishkoshim", value={"password": "let me in", "tags": "administrator"})
        api.put("user-limits", "tj-customs", "max-connections", value={"value": 3})
        api.delete("policies", "af", "panj-quorum")
        api.delete("queues", "tj", "tj-ishkoshim")
        api.put("cluster-name", value={"name": "somebody"})
        api.post("bindings", "af", "e", "inbound", "q", "tj-customs", value={"routing_key": "#"})
        api.put("policies", "af", "panj-older", value={"pattern": "^x", "apply-to": "queues", "definition": {"max-length": 1}})
    plan = plan_topology(settings)
    assert {(change.action, change.thing.kind, change.thing.key) for change in plan.changes} == {
        (Action.CHANGE, "cluster name", ()),
        (Action.CHANGE, "permission", ("af", "tj-panji-poyon")),
        (Action.CHANGE, "user", ("tj-ishkoshim",)),
        (Action.CHANGE, "user", ("tj-customs",)),
        (Action.CREATE, "policy", ("af", "panj-quorum")),
        (Action.CREATE, "queue", ("tj", "tj-ishkoshim")),
        (Action.CREATE, "binding", ("tj", "inbound", "queue", "tj-ishkoshim", "tj-ishkoshim.customs-receipt-v1.*")),
        (Action.CREATE, "binding", ("tj", "inbound", "queue", "tj-ishkoshim", "tj-ishkoshim.customs-beacon-v1.*")),
        (Action.CREATE, "binding", ("tj", "inbound", "queue", "tj-ishkoshim", "tj-ishkoshim.customs-manifest-answer-v1.*")),
        (Action.CREATE, "binding", ("tj", "inbound", "queue", "tj-ishkoshim", "tj-ishkoshim.customs-manifest-request-v1.*")),
        (Action.CREATE, "binding", ("tj", "inbound", "queue", "tj-ishkoshim", "tj-ishkoshim.customs-recovery-answer-v1.*")),
        (Action.CREATE, "binding", ("tj", "inbound", "queue", "tj-ishkoshim", "tj-ishkoshim.customs-crl-v1.*")),
        (Action.REMOVE, "binding", ("af", "inbound", "queue", "tj-customs", "#")),
        (Action.REMOVE, "policy", ("af", "panj-older")),
    }
    config = str(applied.tj.administration.config)
    check = _panj("check", "--config", config, "--json")
    assert check.returncode == 1, check.stderr
    assert "permission af/tj-panji-poyon" in {finding["subject"] for finding in json.loads(check.stdout)["findings"]}
    assert len(apply_topology(settings).changes) == len(plan.changes)
    assert plan_topology(settings).clean


def test_what_is_not_ours_is_left_alone(applied: Frontier) -> None:
    with applied.tj.api() as api:
        api.put("vhosts", "billing", value={})
        api.put("users", "monitoring", value={"password": "x", "tags": "monitoring"})
        api.put("queues", "af", "watcher", value={"durable": True, "arguments": {"x-queue-type": "quorum"}})
        api.post("bindings", "af", "e", "inbound", "q", "watcher", value={"routing_key": "#"})
        assert apply_topology(applied.tj.settings, remove=True).clean
        found = read_topology(api).topology
        assert {"billing"} <= {vhost.name for vhost in found.vhosts}
        assert {("af", "watcher")} <= {queue.key for queue in found.queues}
        api.delete("vhosts", "billing")
        api.delete("users", "monitoring")
        api.delete("queues", "af", "watcher")


def test_a_partner_goes_only_on_purpose_and_with_a_count_of_what_waits(applied: Frontier) -> None:
    settings = applied.tj.settings
    with applied.tj.client("tj", "tj-panji-poyon") as post:
        assert post.publish("outbound", "tj-customs.customs-import-declaration-v1.tj-panji-poyon") == "confirmed"
    until(lambda: applied.tj.queue("tj", "tj-customs.record").get("messages"))
    without_home = settings.model_copy(update={"home": None})
    plan = plan_topology(without_home)
    assert [(change.action, change.thing.kind, change.thing.key, change.deliberate) for change in plan.changes] == [
        (Action.REMOVE, "virtual host", ("tj",), True)
    ]
    assert plan.changes[0].messages >= 1
    assert apply_topology(without_home).clean
    assert [change.thing.key for change in apply_topology(without_home, remove=True).changes] == [("tj",)]
    assert plan_topology(without_home).clean
    assert apply_topology(settings).of(Action.CREATE)


def test_a_removed_post_loses_its_user_and_queues_only_on_purpose(applied: Frontier) -> None:
    settings = applied.tj.settings
    fewer = settings.model_copy(update={"posts": {name: post for name, post in settings.posts.items() if name != "ishkoshim"}})
    assert {change.thing.kind for change in plan_topology(fewer).changes if change.deliberate} == {"user", "queue"}
    apply_topology(fewer)
    with applied.tj.client("af", "tj-ishkoshim") as post:
        assert post.get("tj-ishkoshim") is None
    apply_topology(fewer, remove=True)
    assert plan_topology(fewer).clean
    apply_topology(settings)


def test_more_posts_come_at_once_than_the_old_limit_of_queues_had_room_for(applied: Frontier) -> None:
    settings = applied.tj.settings
    one = settings.posts["ishkoshim"]
    more = settings.model_copy(update={"posts": settings.posts | {f"new-{number}": one for number in range(SPARE_QUEUES + 2)}})
    apply_topology(more)
    assert plan_topology(more).clean
    apply_topology(settings, remove=True)


def test_a_queue_with_other_properties_is_told_and_kept(applied: Frontier) -> None:
    with applied.tj.api() as api:
        api.delete("queues", "af", "tj-ishkoshim")
        api.put("queues", "af", "tj-ishkoshim", value={"durable": True, "arguments": {"x-max-length": 5}})
        with pytest.raises(ConflictError, match="stands there with other properties") as told:
            apply_topology(applied.tj.settings)
        assert told.value.code == "topology-conflict"
        assert applied.tj.queue("af", "tj-ishkoshim")["arguments"] == {"x-max-length": 5}
        api.delete("queues", "af", "tj-ishkoshim")
    apply_topology(applied.tj.settings)


def test_a_changed_limit_reaches_the_federation_queues_policy(applied: Frontier) -> None:
    directory = applied.tj.administration.directory
    changed = _with(
        applied.tj.settings, directory, "reconnect_delay_seconds = 1", "reconnect_delay_seconds = 2\nfederation_queue_max_bytes = 5000000"
    )
    assert {change.thing.kind for change in apply_topology(changed).changes} == {"upstream", "operator policy"}
    assert {change.thing.kind for change in apply_topology(applied.tj.settings).changes} == {"upstream", "operator policy"}


def test_what_is_rendered_is_what_a_broker_needs(applied: Frontier) -> None:
    """Import the rendered definitions on an emptied broker: nothing is left to do but the administrator's own rights."""
    settings = applied.tj.settings
    with applied.tj.api() as api:
        for lane in settings.lanes:
            api.delete("vhosts", lane)
        for party in settings.parties:
            api.delete("users", party.unit)
        api.post("definitions", value=json.loads(render(settings)["definitions.json"]))
        left = plan_topology(settings, api)
    assert {(change.thing.kind, change.action) for change in left.changes} <= {
        ("permission", Action.CREATE),
        ("virtual host", Action.CHANGE),  # 3.10 forgets the tags of an imported virtual host
    }
    apply_topology(settings)


def test_a_broker_that_is_away_is_told_with_exit_code_3(applied: Frontier, tmp_path: Path) -> None:
    settings = applied.tj.settings
    management = settings.broker.management.model_copy(update={"url": "http://127.0.0.1:1"})
    with pytest.raises(UnavailableError, match="does not answer"), ManagementApi(management, patience_seconds=0.3) as api:
        plan_topology(settings, api)
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    management = settings.broker.management.model_copy(update={"password_file": wrong})
    with pytest.raises(SettingsError, match="administrator") as refused, ManagementApi(management) as api:
        plan_topology(settings, api)
    assert refused.value.code == "topology-management-login"
    assert "wrong" not in str(refused.value)


def test_commands_tell_programs_in_one_json_document(applied: Frontier, tmp_path: Path) -> None:
    config = str(applied.tj.administration.config)
    plan = _panj("plan", "--config", config, "--json")
    assert (plan.returncode, json.loads(plan.stdout)) == (0, {"changes": [], "kept": [], "shut": []})
    with applied.tj.api() as api:
        api.delete("policies", "af", "panj-quorum")
    dry = _panj("apply", "--config", config, "--json", "--dry-run")
    assert [(change["action"], change["key"]) for change in json.loads(dry.stdout)["changes"]] == [("create", ["af", "panj-quorum"])]
    done = _panj("apply", "--config", config)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["+ policy af panj-quorum", "1 change made"])
    rendered = _panj("render", "--config", config, "--out", str(tmp_path / "out"))
    assert rendered.returncode == 0, rendered.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["definitions.json", "enabled_plugins", "rabbitmq.conf"]


def test_the_whole_topology_survives_the_way_to_a_broker_and_back(applied: Frontier) -> None:
    wanted = derive(applied.tj.settings)
    with applied.tj.api() as api:
        found = read_topology(api).topology
    assert set(wanted.things()) <= set(found.things())
    assert to_definitions(Topology().things())["queues"] == []
