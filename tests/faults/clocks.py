"""Faults of clocks: one side's is two hours off for a while, then somebody sets it right."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from tests.faults.fault import HOUSE, POST, Breach, Control, Fault, Run
from tests.faults.scene import Scene

OFF_SECONDS = 2 * 3600.0


def _behind(name: str, what: str, count: Callable[[Scene], int]) -> Run:
    """A clock that stands before its own last entry: a post neither accepts nor signs, a house neither takes nor answers."""

    def run(scene: Scene) -> None:
        before = count(scene)
        scene.stop(name)
        scene.start_and_wait(name, clock=-OFF_SECONDS)
        scene.go_on(4, 8, 60)
        scene.stop(name)
        scene.start(name)
        scene.measure(what, count(scene) - before, 0)

    return run


def _post_ahead(scene: Scene) -> None:
    """Its events bear instants that are yet to come; once it is right again, it begins a new epoch."""
    scene.stop(POST)
    scene.start_and_wait(POST, clock=OFF_SECONDS)
    scene.settles(20)
    scene.go_on(2, 4, 60)
    scene.stop(POST)
    scene.recover_post()
    scene.start(POST)


def _house_ahead(scene: Scene) -> None:
    """Certificates, CRLs and instants of honest posts are all within what it tolerates; once right again, it is told to trust its clock."""
    scene.stop(HOUSE)
    scene.start_and_wait(HOUSE, clock=OFF_SECONDS)
    scene.settles(20)
    scene.go_on(2, 4, 60)
    scene.stop(HOUSE)
    scene.start(HOUSE, "--trust-clock")


def _relayed_too_early(scene: Scene) -> int:
    """How many events left the struck post before they were accepted, by its own clock."""
    query = "SELECT count(*) FROM outbox WHERE relayed_at_utc < accepted_at_utc - 1000000"
    with sqlite3.connect(scene.outbox_file, timeout=30) as connection:
        return int(connection.execute(query).fetchone()[0])


def _parked_for_validity(scene: Scene) -> int:
    """How many messages of honest senders the struck house parked because its own clock knows their certificates as yet to come."""
    with scene.admin() as connection:
        row = connection.execute("SELECT count(*) FROM parked WHERE code = 'trust-not-yet-valid'").fetchone()
        assert row is not None
        return int(row[0])


NO_CONTROL = "nothing is switched off that would make an honest event of this clock false: that it is not refused is what is shown"

FAULTS = (
    Fault(
        "post-clock-behind",
        "the post's clock is two hours behind, then right",
        _behind(POST, "events relayed before they were accepted", _relayed_too_early),
        Control("it goes on with the clock that it has", Breach.OVER, {POST: ("clock",)}),
        short=True,
    ),
    Fault("post-clock-ahead", "the post's clock is two hours ahead, then right", _post_ahead, NO_CONTROL),
    Fault(
        "house-clock-behind",
        "the house's clock is two hours behind, then right",
        _behind(HOUSE, "honest messages parked", _parked_for_validity),
        Control("it goes on with the clock that it has", Breach.OVER, {HOUSE: ("clock",)}),
    ),
    Fault("house-clock-ahead", "the house's clock is two hours ahead, then right", _house_ahead, NO_CONTROL),
)
