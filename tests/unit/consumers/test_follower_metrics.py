"""How followers stand, as metrics: read back by an independent look at the format, and the alerts over them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from consumers.loaders.following.ledger import Standing
from consumers.loaders.following.metrics import METRICS, exposition
from schemas.errors import Problem

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
# The text format's own grammar, as far as a gauge with labels needs it (prometheus.io/docs/instrumenting/exposition_formats).
SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z_]+="[^"\\\n]*",?)*)\} (-?[0-9.]+(?:e[+-]?[0-9]+)?)')


def standing(name: str, **changes: object) -> Standing:
    values: dict[str, object] = {
        "name": name,
        "behind": 0,
        "oldest_utc": None,
        "outcomes": {},
        "failed_for_good": 0,
        "trouble": None,
        "trouble_since_utc": None,
    }
    return Standing(**{**values, **changes})  # type: ignore[arg-type]


def samples(*standings: Standing) -> dict[tuple[str, str], float]:
    """Each sample by its metric and its labels but the unit."""
    found = {}
    for line in exposition("af-customs", standings, NOW).splitlines():
        if line.startswith("# "):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        unit, _, labels = match[2].partition(",")
        assert unit == 'unit="af-customs"'
        found[(match[1], labels)] = float(match[3])
    return found


def test_lag_outcomes_and_the_last_success_are_told_of_each_follower() -> None:
    busy = standing(
        "asycuda",
        behind=12,
        oldest_utc=NOW - timedelta(seconds=90),
        outcomes={"written": 7_000_000, "failed": 3},
        failed_for_good=2,
        trouble=Problem(code="follow-folder", text="the share is away"),
        last_success_utc=NOW - timedelta(minutes=2),
    )
    found = samples(busy, standing("tables"))
    assert found[("panj_follower_behind_events", 'follower="asycuda"')] == 12
    assert found[("panj_follower_oldest_waiting_seconds", 'follower="asycuda"')] == 90
    assert found[("panj_follower_events", 'follower="asycuda",outcome="written"')] == 7_000_000
    assert found[("panj_follower_events", 'follower="asycuda",outcome="failed"')] == 3
    assert found[("panj_follower_left_to_person_events", 'follower="asycuda"')] == 2
    assert found[("panj_follower_last_success_timestamp_seconds", 'follower="asycuda"')] == (NOW - timedelta(minutes=2)).timestamp()
    assert (found[("panj_follower_hindered", 'follower="asycuda"')], found[("panj_follower_hindered", 'follower="tables"')]) == (1, 0)
    assert found[("panj_follower_oldest_waiting_seconds", 'follower="tables"')] == 0


def test_a_follower_that_has_done_nothing_yet_has_no_last_success() -> None:
    assert not [name for name, _ in samples(standing("asycuda")) if "last_success" in name]


def test_a_clock_set_back_makes_no_negative_age() -> None:
    found = samples(standing("asycuda", behind=1, oldest_utc=NOW + timedelta(seconds=5)))
    assert found[("panj_follower_oldest_waiting_seconds", 'follower="asycuda"')] == 0


def test_each_metric_is_described_once_and_documented_and_alerts_are_over_metrics_that_there_are() -> None:
    text = exposition("af-customs", [standing("a"), standing("b")], NOW)
    page = Path("docs/loads.md").read_text()
    rules = [rule for group in yaml.safe_load(Path("deploy/alerts/followers.yml").read_text())["groups"] for rule in group["rules"]]
    known = {metric.name for metric in METRICS}
    assert all(text.count(f"# TYPE {name} gauge\n") == 1 and f"`{name}" in page for name in known)
    used = {name for rule in rules for name in re.findall(r"panj_[a-z_]+", rule["expr"])}
    assert used
    assert used <= known
