"""Groups of like failures: every failure in exactly one, whatever differs in values only together, names that stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from consumers.review.groups import Failure, group_failures, name_of, shape_of
from consumers.review.values import Kind
from schemas.errors import Problem

START = datetime(2026, 11, 24, tzinfo=UTC)
WORDS = st.text(st.sampled_from("abc xyz"), min_size=1, max_size=20).map(lambda words: " ".join(words.split()) or "x")
CODES = st.sampled_from(["rule-broken", "code-unknown", "handler-surprise"])
FAILURES = st.builds(
    Failure,
    kind=st.sampled_from(Kind),
    place=st.sampled_from(["record", "transit-risk"]),
    code=CODES,
    problem=st.text(max_size=60),
    exception=st.none() | st.sampled_from(["KeyError in load (a.py:1)", "ValueError in load (a.py:2)"]),
    first_utc=st.integers(0, 10_000).map(lambda seconds: START + timedelta(seconds=seconds)),
    last_utc=st.integers(0, 10_000).map(lambda seconds: START + timedelta(seconds=seconds)),
    count=st.integers(1, 1_000),
)


@given(st.lists(FAILURES, max_size=40), st.randoms())
def test_every_failure_is_in_exactly_one_group_whatever_their_order(failures: list[Failure], random: object) -> None:
    groups = group_failures(failures)
    names = [group.name for group in groups]
    assert len(set(names)) == len(names)
    assert sum(group.count for group in groups) == sum(failure.count for failure in failures)
    for group in groups:
        members = [failure for failure in failures if name_of(failure) == group.name]
        assert sum(failure.count for failure in members) == group.count
        assert {(failure.kind, failure.place, failure.code) for failure in members} == {(group.kind, group.place, group.code)}
        assert (group.first_utc, group.last_utc) == (min(one.first_utc for one in members), max(one.last_utc for one in members))
    random.shuffle(failures)  # type: ignore[attr-defined]
    assert group_failures(failures) == groups


@given(st.lists(FAILURES, max_size=20), st.lists(FAILURES, max_size=20))
def test_more_failures_change_the_counts_of_groups_and_never_their_names(some: list[Failure], more: list[Failure]) -> None:
    before = {group.name: group.count for group in group_failures(some)}
    after = {group.name: group.count for group in group_failures([*some, *more])}
    assert all(after[name] >= count for name, count in before.items())


@given(WORDS, CODES, st.text(max_size=50), st.text(max_size=50), st.integers(0, 99), st.integers(0, 99))
def test_problems_that_differ_in_their_values_and_places_only_have_one_shape(
    text: str, code: str, value: str, other: str, item: int, another: int
) -> None:
    one = Problem(code=code, text=text, field=f"items.{item}.hs_code", value=value)
    two = Problem(code=code, text=text, field=f"items.{another}.hs_code", value=other)
    assert shape_of(str(one)) == shape_of(str(two)) == f"items.#.hs_code: {text}"


@given(st.text(max_size=300))
def test_a_shape_is_short_and_its_own_shape(problem: str) -> None:
    shape = shape_of(problem)
    assert len(shape) <= 160
    assert "\n" not in shape


def test_ids_posts_and_quoted_words_do_not_part_what_fails_alike() -> None:
    told = "place of the stream is taken by event 01a20d70-7a39-73ce-8c8e-1d502664a7cf of urn:customs:tj:panji-poyon, 'x'"
    again = "place of the stream is taken by event 01b20d70-7a39-73ce-8c8e-1d502664a7ce of urn:customs:tj:ishkoshim, 'y'"
    assert shape_of(told) == shape_of(again) == "place of the stream is taken by event … of …, …"


def test_digits_within_a_name_are_part_of_the_name() -> None:
    assert shape_of("x5c: 3 of sha256 v2 (got '5') [trust-path]") == "x5c: # of sha256 v2"


def test_an_exception_parts_what_the_sender_is_told_alike() -> None:
    def failure(exception: str) -> Failure:
        return Failure(Kind.HELD, "record", "handler-surprise", "could not load", exception, START, START)

    assert len(group_failures([failure("KeyError in a (a.py:1)"), failure("KeyError in a (a.py:9)")])) == 2
