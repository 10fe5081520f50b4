"""The normal way in for parked messages of a consumer's queue; the control worker has its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumers.answers import Answered
from consumers.opening import InHand, Opened, open_delivery
from consumers.parked import message_digest
from consumers.pipeline import Pipeline
from consumers.suspects import forget_opening, open_carefully, take_in_one_by_one
from schemas.errors import Problem


@dataclass(frozen=True, slots=True)
class ConsumerDoor:
    """Opens messages with a consumer's pipeline, against the trust and the lanes of today."""

    pipeline: Pipeline

    def __call__(self, one: InHand, *, careful: bool) -> tuple[Problem | None, Sequence[Answered]]:
        """As `Door` says."""
        if one.lane not in self.pipeline.expected:
            return lane_gone(one.lane), ()
        if careful:
            return self._carefully(one)
        opened, problem = self.look(one)
        return (problem, ()) if problem else (None, self.pipeline.take_in_opened(opened))

    def look(self, one: InHand) -> tuple[Opened, Problem | None]:
        """What the message holds, and what is wrong with the whole of it; nothing is taken in."""
        expected = self.pipeline.expected.get(one.lane)
        if expected is None:
            return Opened((), ()), lane_gone(one.lane)
        opened = open_delivery(one, self.pipeline.trust, expected, self.pipeline.clock())
        return opened, _problem_of_whole(one, opened)

    def _carefully(self, one: InHand) -> tuple[Problem | None, Sequence[Answered]]:
        opened = open_carefully(self.pipeline, one)
        problem = _problem_of_whole(one, opened)
        forget_opening(self.pipeline, one)
        if problem:
            return problem, ()
        self.pipeline.take_in((), opened.parkings)
        return None, take_in_one_by_one(self.pipeline, opened.arrivals)


def _problem_of_whole(one: InHand, opened: Opened) -> Problem | None:
    whole = message_digest(one.delivery.message)
    return next((parking.problem for parking in opened.parkings if parking.digest == whole), None)


def lane_gone(lane: str) -> Problem:
    """Why a message of a lane that exchange.toml names no more cannot be opened."""
    return Problem(code="parked-lane-gone", text="exchange.toml names no such partner any more", field="lane", value=lane)
