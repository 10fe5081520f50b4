"""Wrong clocks and certificates: within the tolerance no honest sender is refused, beyond it nobody passes. Over verdicts of all kinds."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.trust.anchors import TrustStore
from schemas.errors import DistrustError
from tests.unit.trust.certificates import NOW, crl, leaf, p256, root, trust_in

KEY = p256()
GRACE_DAYS = 7
MINUTES = st.integers(-20_000, 20_000).map(lambda count: timedelta(minutes=count))
ERRORS = st.integers(-100_000, 100_000).map(lambda count: timedelta(seconds=count))


@dataclass(frozen=True)
class Lives:
    """When the anchor, the unit's certificate and the authority's CRL are good, relative to NOW; `tolerance` is the receiver's."""

    anchor: tuple[datetime, datetime]
    unit: tuple[datetime, datetime]
    next_update: datetime | None
    tolerance: timedelta

    @property
    def since(self) -> datetime:
        return max(self.anchor[0], self.unit[0])

    @property
    def until(self) -> datetime:
        ends = [self.anchor[1], self.unit[1]]
        return min(ends if self.next_update is None else [*ends, self.next_update + timedelta(days=GRACE_DAYS)])

    def store(self, directory: Path) -> tuple[TrustStore, list[str]]:
        anchor = root("root of tj", key=KEY, since=self.anchor[0], until=self.anchor[1])
        trust = trust_in(directory, self.tolerance.total_seconds(), tj=anchor)
        if self.next_update is not None:
            (directory / "tj" / "1.crl").write_bytes(crl(anchor, 1, until=self.next_update))
            trust.reload()
        return trust, [leaf(anchor, key=KEY, since=self.unit[0], until=self.unit[1]).x5c]


@st.composite
def lives(draw: st.DrawFn) -> Lives:
    def span() -> tuple[datetime, datetime]:
        begins = NOW + draw(MINUTES)
        return begins, begins + timedelta(minutes=draw(st.integers(1, 40_000)))

    next_update = draw(st.none() | MINUTES.map(lambda delta: NOW + delta).filter(lambda at: at > NOW - timedelta(days=1)))
    return Lives(span(), span(), next_update, timedelta(seconds=draw(st.sampled_from([0, 1, 60, 300, 86_400]))))


def passes(trust: TrustStore, x5c: list[str], clock: datetime) -> bool:
    try:
        trust.speaker(x5c, "tj", clock)
    except DistrustError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(lives(), st.lists(st.tuples(MINUTES, ERRORS), min_size=1, max_size=8))
def test_a_clock_wrong_within_the_tolerance_refuses_no_honest_sender_and_none_passes_beyond_it(
    these: Lives, moments: list[tuple[timedelta, timedelta]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        trust, x5c = these.store(Path(name))
        for moment, error in [*moments, *moments]:  # the second time the verdict is remembered
            now = NOW + moment
            clock = now + error
            passed = passes(trust, x5c, clock)
            if these.since <= now <= these.until and abs(error) <= these.tolerance:
                assert passed
            if passed:
                assert these.since - these.tolerance <= clock <= these.until + these.tolerance


@settings(max_examples=100, deadline=None)
@given(lives(), st.sampled_from([-1, 1]), st.booleans())
def test_at_the_very_edge_of_the_tolerance_one_second_decides(these: Lives, second: int, at_the_end: bool) -> None:
    if these.since >= these.until:
        return
    edge = these.until + these.tolerance if at_the_end else these.since - these.tolerance
    with tempfile.TemporaryDirectory() as name:
        trust, x5c = these.store(Path(name))
        assert passes(trust, x5c, edge)
        assert passes(trust, x5c, edge + timedelta(seconds=second)) is (second < 0 if at_the_end else second > 0)
