"""Whatever prefix of its history a restored outbox holds, and wherever each event was meanwhile: after recovery, and after what taken/
holds was put in again, nothing that was accepted is lost, nothing is loaded twice, and no place of a stream was used for two events.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from broker.outbox.values import Draft
from schemas.errors import UnavailableError
from tests.integration.recovery.world import HOUSE, Authorities, World, arrival, export, world_at

Step = tuple[Literal["accept", "again", "post", "house", "beacon"], int]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["post", "house", "beacon"]), st.just(0)),
        st.tuples(st.just("again"), st.integers(0, 20)),
    ),
    max_size=10,
)


class Story:
    """What a person did: put declarations in, and in again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.accepted: list[Draft] = []

    def tell(self, steps: list[Step]) -> None:
        for step, count in steps:
            if step == "accept":
                new = len(self.accepted)
                self._put_in([arrival(new + each) if (new + each) % 3 == 2 else export(new + each) for each in range(count)])
            elif step == "again" and self.accepted:
                self._put_in([self.accepted[count % len(self.accepted)]])
            elif step == "post":
                self.world.post_turn(1)
            elif step == "house":
                self.world.house_turn()
            else:
                self.world.turn(61)

    def _put_in(self, drafts: list[Draft]) -> None:
        try:
            self.world.accept(*drafts)
        except UnavailableError:  # found out: the files stay where they are
            return
        self.accepted += [draft for draft in drafts if draft not in self.accepted]

    def put_everything_in_again(self) -> None:
        self.world.accept(*self.accepted)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, authorities: Authorities) -> Path:
    """Databases with all tables, to be copied for each story."""
    directory = tmp_path_factory.mktemp("template")
    with world_at(directory, authorities):
        pass
    return directory


@contextmanager
def copy_of(template: Path, authorities: Authorities) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(template / "house.sqlite", directory)
        with world_at(Path(directory), authorities) as world:
            yield world


@given(
    before=STEPS,
    forgotten=STEPS,
    unaware=STEPS,
    found_out=st.booleans(),
    drained=st.booleans(),
    page=st.integers(1, 4),
    deaths=st.lists(st.booleans(), max_size=6),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_recovered_outbox_has_lost_nothing_and_sends_nothing_twice(
    template: Path,
    authorities: Authorities,
    before: list[Step],
    forgotten: list[Step],
    unaware: list[Step],
    found_out: bool,
    drained: bool,
    page: int,
    deaths: list[bool],
) -> None:
    with copy_of(template, authorities) as world, mock.patch("consumers.recovery.RECOVERY_ENTRIES", page):
        story = Story(world)
        story.tell(before)
        world.copy_aside(world.directory / "copy")
        story.tell(forgotten)
        world.put_back(world.directory / "copy")
        if found_out:
            world.outbox.suspect("it is older than its marker")
        story.tell(unaware)
        if drained:
            world.house_turn()
        world.outbox.begin_recovery([HOUSE.urn])
        for dies in deaths:
            world.turn(6)
            if dies:
                world.close_post()
                world.open_post()
        world.settle()
        story.put_everything_in_again()
        world.settle()
        for _ in range(0 if drained else 30):  # what was on its way when the house told all is found within the first looks
            world.turn(60)
        world.settle()

        names = sorted((draft.reference, draft.version) for draft in story.accepted)
        note(f"{world.loaded()} {world.taken_in()} {world.parked()}")
        assert world.loaded() == names
        assert {code for code in world.parked() if code != "sequence-conflict"} == set()
        if found_out:
            assert world.parked() == []
        if found_out and drained:
            assert Counter(world.taken_in()) == Counter(names)
        assert world.outbox.is_quiet()
        assert {fate.fate for fate in world.outbox.fate_of([row.event_id for row in everything(world)])} <= {"LOADED"}


def everything(world: World) -> list[Any]:
    rows: list[Any] = []
    for reference in {reference for reference, _ in world.loaded()}:
        rows += world.outbox.rows_of(reference)
    return rows
