"""When what runs out is told, over values alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from broker.operations.expiries import ExpiryWatch
from broker.settings.load import load_settings
from broker.topology.check import judge, why_down
from broker.topology.diff import TopologyDiff
from broker.topology.observe import BrokerState, LinkState
from broker.trust.lifetimes import EXPIRED, THRESHOLDS, CertificateFile, Lifetime, files_of, of_certificates, of_trust
from tests.unit.trust.certificates import NOW, crl, leaf, make, root, trust_in

SETTINGS = load_settings(Path(__file__).parents[3] / "deploy" / "exchange.example.toml")


def life(days_left: float, whole_days: float = 397, **changes: Any) -> Lifetime:
    until = NOW + timedelta(days=days_left)
    fields: dict[str, Any] = {"kind": "certificate", "subject": "tj-panji-poyon", "mark": "a", "renewal": "renew it", "link": None}
    return Lifetime(since_utc=until - timedelta(days=whole_days), until_utc=until, **(fields | changes))


@pytest.mark.parametrize(
    ("days", "passed"), [(31, None), (30, 30), (15, 30), (14, 14), (3.5, 14), (3, 3), (0.1, 3), (0, EXPIRED), (-5, EXPIRED)]
)
def test_the_last_threshold_that_was_passed_counts(days: float, passed: int | None) -> None:
    assert life(days).threshold(NOW) == passed


def test_a_threshold_beyond_half_of_a_short_life_says_nothing() -> None:
    assert life(29, whole_days=30).threshold(NOW) is None
    assert life(14, whole_days=30).threshold(NOW) == 14
    assert life(6, whole_days=7).threshold(NOW) is None
    assert life(3, whole_days=7).threshold(NOW) == 3
    assert life(0.6, whole_days=1).threshold(NOW) is None
    assert life(0.5, whole_days=1).threshold(NOW) == 3
    assert life(-1, whole_days=1).threshold(NOW) == EXPIRED


@given(st.lists(st.floats(-40, 400), min_size=1, max_size=60))
def test_a_watch_tells_each_threshold_at_most_once_whatever_the_clock_does(days: list[float]) -> None:
    only = life(0)
    watch = ExpiryWatch(lambda _: [only])
    with capture_logs() as logs:
        for left in days:
            watch.look(only.until_utc - timedelta(days=left))
    told = [EXPIRED if entry["event"] == "certificate.expired" else entry["days"] for entry in logs]
    assert len(told) <= len(THRESHOLDS) + 1
    assert told == sorted(told, reverse=True)


def test_a_successor_is_watched_anew_and_crls_have_their_own_words() -> None:
    lives = [life(2), life(-1, kind="crl", subject="crl of af")]
    watch = ExpiryWatch(lambda _: lives)
    with capture_logs() as logs:
        watch.look(NOW)
        watch.look(NOW)
        lives[0] = life(2, mark="b")
        watch.look(NOW)
    assert [(entry["event"], entry["of"]) for entry in logs] == [
        ("certificate.expiring", "tj-panji-poyon"),
        ("crl.expired", "crl of af"),
        ("certificate.expiring", "tj-panji-poyon"),
    ]
    assert logs[0]["advice"] == "renew it"


def test_a_chain_lives_as_long_as_all_of_it(tmp_path: Path) -> None:
    anchor = root()
    middle = make("middle", anchor, ca=True, until=NOW + timedelta(days=5))
    end = leaf(middle)
    found = of_certificates([end.certificate, middle.certificate], "certificate", "x", "")
    assert found.until_utc == NOW + timedelta(days=5)
    (tmp_path / "chain.pem").write_bytes(end.pem + middle.pem)
    assert CertificateFile("certificate", "x", tmp_path / "chain.pem", "").lifetime() == found
    assert CertificateFile("certificate", "x", tmp_path / "none.pem", "").lifetime() is None


def test_anchors_and_all_crls_that_count_are_watched_an_intermediates_too(tmp_path: Path) -> None:
    anchor = root("root of af")
    middle = make("middle", anchor, ca=True)
    trust = trust_in(tmp_path, af=anchor)
    (tmp_path / "af" / "root.crl").write_bytes(crl(anchor, 1))
    (tmp_path / "af" / "middle.crl").write_bytes(crl(middle, 4, until=NOW + timedelta(days=2)))
    trust.reload()
    trust.speaker([leaf(middle, "urn:customs:af:customs").x5c, middle.x5c], "af", NOW)
    found = {(each.kind, each.subject): each for each in of_trust(trust, SETTINGS, NOW)}
    assert set(found) == {("anchor", "anchor of af"), ("crl", "crl of af")}
    crls = sorted(each.until_utc for each in of_trust(trust, SETTINGS, NOW) if each.kind == "crl")
    assert crls == [NOW + timedelta(days=2), NOW + timedelta(days=30)]


def test_every_certificate_of_exchange_toml_is_named_once() -> None:
    subjects = [(file.kind, file.subject) for file in files_of(SETTINGS)]
    assert len(set(subjects)) == len(subjects)
    assert {subject for _, subject in subjects} >= {"tj-panji-poyon", "tj-customs", "link to af"}


STATE = BrokerState("3.10", "tj", (LinkState("af", "running"),), (), (), (), ())
DOWN = BrokerState("3.10", "tj", (LinkState("af", "error", None, "socket_closed"),), (), (), (), ())
LINK: dict[str, Any] = {"kind": "link certificate", "subject": "link to af", "link": "link to af"}


def codes(state: BrokerState, *lives: Lifetime) -> list[str]:
    return [finding.code for finding in judge(SETTINGS, TopologyDiff(), state, lives, NOW) if finding.code.startswith("topology-link")]


def test_a_link_that_will_break_is_told_and_when() -> None:
    assert codes(STATE, life(20, **LINK)) == []
    (finding, *_) = judge(SETTINGS, TopologyDiff(), STATE, [life(10.5, **LINK)], NOW)
    assert finding.code == "topology-link-expiring"
    assert "2026-12-05" in finding.text
    assert "10 days" in finding.text
    (finding, *_) = judge(SETTINGS, TopologyDiff(), STATE, [life(-1, **LINK)], NOW)
    assert "breaks for good when it is cut next" in finding.text


def test_a_link_that_is_down_because_a_certificate_ran_out_is_told_as_such() -> None:
    assert codes(DOWN) == ["topology-link-down"]
    assert codes(DOWN, life(5, **LINK)) == ["topology-link-down", "topology-link-expiring"]
    assert codes(DOWN, life(-1, **LINK)) == ["topology-link-expired"]
    assert codes(DOWN, life(-1, **(LINK | {"link": "link from af"}))) == ["topology-link-down", "topology-link-expiring"]
    (link,) = DOWN.links
    assert "2026-11-23" in (why_down(link, [life(-1, **LINK)], NOW) or "")
    alert = LinkState("af", "error", None, '{tls_alert,{certificate_expired,"TLS client: Fatal - Certificate Expired"}}')
    assert "ran out, says the broker" in (why_down(alert, [], NOW) or "")
    assert why_down(LinkState("af", "running"), [life(-1, **LINK)], NOW) is None
