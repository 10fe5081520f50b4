"""Users that are kept out, over values alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broker.settings.load import load_settings
from broker.topology.check import judge
from broker.topology.derive import derive
from broker.topology.diff import Action, compare
from broker.topology.model import Topology, User
from broker.topology.observe import BrokerState
from broker.topology.shut import MARK, ShutUser, link_user_of, shut_users
from schemas.errors import SettingsError, UsageError

EXAMPLE = Path(__file__).parents[3] / "deploy" / "exchange.example.toml"
SETTINGS = load_settings(EXAMPLE)
WANTED = derive(SETTINGS)
SHUT = ShutUser("link-af", "2026-11-24T12:00:00Z", "rustam", "the laptop with the key was stolen")


def test_a_user_that_is_kept_out_is_not_made_and_it_is_said(tmp_path: Path) -> None:
    diff = compare("tj", WANTED, Topology(), shut=[SHUT])
    assert diff.shut == (SHUT,)
    wanted = [change.wanted for change in diff.changes]
    assert not any(isinstance(thing, User) and thing.name == "link-af" for thing in wanted)
    assert "link-af" not in {getattr(thing, "user", None) for thing in wanted}
    (finding,) = judge(SETTINGS, diff, BrokerState("", "", (), (), (), (), ()))[len(diff.changes) :][:1]
    assert finding.code == "topology-link-shut"
    assert "the laptop" in finding.text
    assert "partners.af.link_user" in finding.text


def test_made_again_by_hand_it_is_removed_without_being_asked() -> None:
    (change,) = compare("tj", WANTED, WANTED, shut=[SHUT]).pending(remove=False)
    assert (change.action, change.thing.key) == (Action.REMOVE, ("link-af",))


def test_another_name_of_the_link_is_made_beside_it_and_nothing_is_said_any_more(tmp_path: Path) -> None:
    config = tmp_path / "exchange.toml"
    config.write_text(EXAMPLE.read_text().replace("[partners.af]\n", '[partners.af]\nlink_user = "link-af-2"\n'))
    diff = compare("tj", derive(load_settings(config)), WANTED, shut=[SHUT])
    assert diff.shut == ()
    made = {change.thing.key for change in diff.changes if change.action is Action.CREATE}
    assert made == {("link-af-2",), ("af", "link-af-2")}
    removed = [change for change in diff.changes if change.action is Action.REMOVE]
    assert [(change.thing.key, change.deliberate) for change in removed if isinstance(change.thing, User)] == [(("link-af",), False)]


def test_a_former_name_that_was_not_shut_stays_until_it_is_removed_on_purpose() -> None:
    former = Topology(users=(User("link-af-old"),))
    (change,) = [each for each in compare("tj", Topology(vhosts=WANTED.vhosts), former).changes if each.action is Action.REMOVE]
    assert change.deliberate


@pytest.mark.parametrize("name", ["link-uz", "link-af_2", "panj-admin", "link-af2"])
def test_a_links_user_bears_its_country(tmp_path: Path, name: str) -> None:
    config = tmp_path / "exchange.toml"
    config.write_text(EXAMPLE.read_text().replace("[partners.af]\n", f'[partners.af]\nlink_user = "{name}"\n'))
    with pytest.raises(SettingsError, match="link_user"):
        load_settings(config)
    with pytest.raises(UsageError, match="partner-invalid"):
        link_user_of(SETTINGS, "af", name)


def test_marks_are_read_from_what_the_broker_says_of_itself() -> None:
    value = {"link-af": {"at": SHUT.at, "by": SHUT.by, "reason": SHUT.reason}}
    assert shut_users({"global_parameters": [{"name": "cluster_name", "value": "tj"}, {"name": MARK, "value": value}]}) == (SHUT,)
    damaged: list[dict[str, Any]] = [{}, {"global_parameters": []}, {"global_parameters": [{"name": MARK, "value": []}]}]
    for nothing in damaged:
        assert shut_users(nothing) == ()
