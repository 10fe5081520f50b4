"""What may be done with an order, and by whom: decided without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broker.operations.instants import duration_of
from consumers.review.orders import check_approval, check_open, outcome_of_start
from consumers.review.selecting import Wanted
from consumers.review.values import Action, Kind, Order, Outcome, State
from schemas.errors import ConflictError, UsageError
from schemas.fates import Fate

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


def order(state: State = State.WAITING, expires_in: timedelta = timedelta(days=7)) -> Order:
    return Order(
        number=3,
        kind=Kind.HELD,
        action=Action.RELEASE,
        reason="seen",
        chosen="--all",
        state=state,
        ordered_by="amina",
        ordered_at_utc=NOW,
        expires_at_utc=NOW + expires_in,
        approved_by=None,
        approved_at_utc=None,
        finished_at_utc=None,
    )


def refusal(tried: Order, who: str, now_utc: datetime = NOW) -> str | None:
    try:
        check_approval(tried, who, now_utc)
    except ConflictError as error:
        return error.code
    return None


def test_only_another_login_may_approve_an_order_and_only_while_it_waits() -> None:
    assert refusal(order(), "bahrom") is None
    assert refusal(order(), "amina") == "order-same-person"
    for state in (State.RUNNING, State.DONE, State.CANCELLED):
        assert refusal(order(state), "bahrom") == "order-not-waiting"
    assert refusal(order(State.EXPIRED), "bahrom") == "order-expired"


def test_an_order_can_be_approved_until_the_instant_at_which_it_expires() -> None:
    last = NOW + timedelta(days=7) - timedelta(microseconds=1)
    assert refusal(order(), "bahrom", last) is None
    assert refusal(order(), "bahrom", last + timedelta(microseconds=1)) == "order-expired"


@pytest.mark.parametrize("state", State)
def test_only_what_waits_or_runs_can_be_stopped(state: State) -> None:
    if state in (State.WAITING, State.RUNNING):
        check_open(order(state))
        return
    with pytest.raises(ConflictError) as caught:
        check_open(order(state))
    assert caught.value.code == "order-not-open"


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("fate", [Fate.LOADED, Fate.REFUSED, Fate.HELD])
@pytest.mark.parametrize("now", ["rule-broken", "handler-surprise"])
def test_a_person_decides_about_what_was_wrong_when_they_looked(action: Action, fate: Fate, now: str) -> None:
    outcome = outcome_of_start(action, fate, "rule-broken", now)
    if fate.final:
        assert outcome is Outcome.GONE
    elif action is not Action.REPLAY and now != "rule-broken":
        assert outcome is Outcome.CHANGED
    else:
        assert outcome is None


@pytest.mark.parametrize(("words", "seconds"), [("45s", 45), ("90m", 5_400), ("2h", 7_200), ("3d", 259_200)])
def test_durations_are_a_number_and_a_unit(words: str, seconds: int) -> None:
    assert duration_of(words) == timedelta(seconds=seconds)


@pytest.mark.parametrize("words", ["", "h", "2", "2 h", "-1h", "1.5h", "2w", "9999999d", "٣h"])
def test_anything_else_is_no_duration(words: str) -> None:
    with pytest.raises(UsageError) as caught:
        duration_of(words)
    assert caught.value.code == "duration-invalid"


def test_what_was_chosen_is_told_as_it_was_typed() -> None:
    assert Wanted(code="a", older_than=timedelta(hours=2)).said() == "--code a --older-than 7200s"
    assert Wanted().said() == ""


def test_the_past_of_each_action_is_a_word() -> None:
    assert [action.past for action in Action] == ["replayed", "released", "discarded"]
