"""How followers stand as metrics, in Prometheus' text format (version 0.0.4). Pure; the command that writes them is in `commands`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from consumers.loaders.following.ledger import Standing
from consumers.loaders.following.values import Outcome


@dataclass(frozen=True, slots=True)
class Metric:
    """One gauge: its name with its unit, what it says, and its samples of a follower, each with the labels beside the follower's own."""

    name: str
    says: str
    samples: Callable[[Standing, datetime], Mapping[str, float]]


def _waiting_seconds(stands: Standing, now_utc: datetime) -> float:
    return 0.0 if stands.oldest_utc is None else max(0.0, (now_utc - stands.oldest_utc).total_seconds())


def _last_success(stands: Standing) -> Mapping[str, float]:
    return {} if stands.last_success_utc is None else {"": stands.last_success_utc.timestamp()}


METRICS = (
    Metric("panj_follower_behind_events", "Loaded events that it has still to carry on.", lambda stands, _: {"": stands.behind}),
    Metric(
        "panj_follower_oldest_waiting_seconds",
        "Since when the oldest of them waits; 0 where none does.",
        lambda stands, now: {"": _waiting_seconds(stands, now)},
    ),
    Metric(
        "panj_follower_events",
        "Events that it is done with, or that it could not write so far, by what became of them last.",
        lambda stands, _: {f'outcome="{each.value}"': stands.outcomes.get(each.value, 0) for each in Outcome},
    ),
    Metric(
        "panj_follower_left_to_person_events",
        "Of those that it could not write: tried often enough, and left to a person.",
        lambda stands, _: {"": stands.failed_for_good},
    ),
    Metric(
        "panj_follower_last_success_timestamp_seconds",
        "When it was last done with an event, since 1970; nothing before the first one.",
        lambda stands, _: _last_success(stands),
    ),
    Metric(
        "panj_follower_hindered",
        "1 while something keeps it from going on at all.",
        lambda stands, _: {"": 0 if stands.trouble is None else 1},
    ),
)


def exposition(unit: str, standings: Sequence[Standing], now_utc: datetime) -> str:
    """Write the metrics of all followers of a house (`unit`, such as `af-customs`), each metric once with its help."""
    return "".join(f"{line}\n" for metric in METRICS for line in _lines(metric, unit, standings, now_utc))


def _lines(metric: Metric, unit: str, standings: Sequence[Standing], now_utc: datetime) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.says}"
    yield f"# TYPE {metric.name} gauge"
    for stands in standings:
        for more, value in metric.samples(stands, now_utc).items():
            labels = ",".join(filter(None, (f'unit="{unit}"', f'follower="{stands.name}"', more)))
            yield f"{metric.name}{{{labels}}} {float(value)!r}"
