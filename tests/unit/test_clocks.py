"""What is made of clocks that disagree, over values alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from broker.clocks import AGED, ClockWatch, Skew, better, measure, watch_seconds

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUSE = "urn:customs:af:customs"
SECONDS = st.integers(0, 100_000).map(lambda milliseconds: timedelta(milliseconds=milliseconds))


@given(st.integers(-200_000, 200_000), SECONDS, SECONDS)
def test_a_measurement_holds_the_true_difference_however_slow_the_line_was(skew_ms: int, there: timedelta, back: timedelta) -> None:
    skew = timedelta(milliseconds=skew_ms)
    found = measure(NOW, NOW + there + skew, NOW + there + back)
    assert found is not None
    assert found.low <= skew.total_seconds() <= found.high
    assert abs(found.error_seconds - (there + back).total_seconds() / 2) < 1e-6
    assert abs(found.at_least) <= abs(skew.total_seconds())


def test_what_came_before_it_left_measures_nothing() -> None:
    assert measure(NOW, NOW, NOW - timedelta(seconds=1)) is None


def test_a_clock_may_agree_as_long_as_the_line_explains_the_difference() -> None:
    assert Skew(-1.0, 3600.0).at_least == 0.0
    assert Skew(8.0, 12.0).at_least == 8.0
    assert Skew(-12.0, -8.0).at_least == -8.0


def test_the_narrower_measurement_stands_until_it_is_old_or_contradicted() -> None:
    narrow, wide, other = Skew(-0.1, 0.1), Skew(-5.0, 5.0), Skew(3.0, 9.0)
    assert better(None, None, wide, NOW) == wide
    assert better(narrow, NOW, wide, NOW) == narrow
    assert better(wide, NOW, narrow, NOW) == narrow
    assert better(narrow, NOW, wide, NOW + AGED + timedelta(seconds=1)) == wide
    assert better(narrow, NOW, other, NOW) == other  # somebody set a clock


def test_what_is_told_from_follows_the_tolerance() -> None:
    assert [watch_seconds(tolerance) for tolerance in (0, 60, 300, 3600)] == [5.0, 6.0, 30.0, 360.0]


def test_a_clock_that_is_off_is_told_once_and_once_when_it_is_back() -> None:
    watch = ClockWatch(30.0)
    with capture_logs() as logs:
        for seconds in (1.0, 31.0, 40.0, 29.0, 25.0, 23.0, 1.0):
            watch.see(HOUSE, seconds, NOW)
    assert [entry["event"] for entry in logs] == ["clock.skewed", "clock.agreed"]
    assert logs[0]["whose"] == HOUSE
    assert logs[1]["seconds"] == 23.0  # well below, so that a clock at the threshold is not told again and again


def test_what_a_slow_line_could_explain_is_told_only_when_it_stands() -> None:
    watch = ClockWatch(30.0)
    with capture_logs() as logs:
        watch.see(HOUSE, -60.0, NOW, certain=False)
        watch.see(HOUSE, 0.0, NOW + timedelta(minutes=1), certain=False)
        watch.see(HOUSE, -60.0, NOW + timedelta(minutes=2), certain=False)
        watch.see(HOUSE, -60.0, NOW + timedelta(minutes=6), certain=False)
        assert logs == []
        watch.see(HOUSE, -60.0, NOW + timedelta(minutes=7), certain=False)
    assert [entry["event"] for entry in logs] == ["clock.skewed"]
