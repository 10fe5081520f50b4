"""What is current, whatever the order of arrival, on both databases."""

from __future__ import annotations

from itertools import count, permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text

from consumers.loaders.record.tables import crossing_event
from consumers.pipeline import Pipeline
from tests.integration.consumers.frontier import CROSSING, Frontier, cancellation, crossing, declaration

_numbers = count(1)


def current(engine: Engine, number: str) -> tuple[int, str] | None:
    query = text("SELECT version, status FROM current_declaration WHERE registration_number = :number")
    with engine.connect() as connection:
        row = connection.execute(query, {"number": number}).one_or_none()
    return None if row is None else (row.version, row.status)


def arrive(pipeline: Pipeline, frontier: Frontier, data: dict[str, Any]) -> None:
    event_type = CROSSING if "event_number" in data else "customs.export-declaration.v1"
    pipeline.process(frontier.deliveries([frontier.post.event(data, event_type)], event_type))


def life(number: str) -> list[dict[str, Any]]:
    """Two versions, a cancellation, and a release."""
    return [
        declaration(number, 1),
        declaration(number, 2, gross_mass_kg="3700"),
        cancellation(number, 3, corrects=2),
        crossing(f"{number}-r", "released", number),
    ]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_versions_in_every_order_give_the_same_current(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, order: tuple[int, ...]
) -> None:
    number = f"o{next(_numbers)}"
    for step in order:
        arrive(pipeline, frontier, life(number)[step])
    assert current(engine, number) == (3, "invalidated-after-release")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_versions_in_any_order_and_batching_give_the_highest(
    pipeline: Pipeline, frontier: Frontier, engine: Engine, data: st.DataObject
) -> None:
    number = f"h{next(_numbers)}"
    versions = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True))
    cancelled = data.draw(st.sampled_from([0, *(version for version in versions if version > 1)]))
    raws = [
        frontier.post.event(cancellation(number, version, version - 1) if version == cancelled else declaration(number, version))
        for version in versions
    ]
    pipeline.process(frontier.deliveries(raws, size=data.draw(st.integers(1, 6))))
    expected = "cancelled" if cancelled == max(versions) else "in-force"
    assert current(engine, number) == (max(versions), expected)


def test_a_refused_version_leaves_the_former_in_force(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    arrive(pipeline, frontier, declaration("f", 1))
    arrive(pipeline, frontier, declaration("f", 2, invoice_amount="-5"))
    assert current(engine, "f") == (1, "in-force")


def test_a_cancellation_may_come_first_and_stays(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    arrive(pipeline, frontier, cancellation("c", 2))
    assert current(engine, "c") == (2, "cancelled")
    arrive(pipeline, frontier, declaration("c", 1))
    assert current(engine, "c") == (2, "cancelled")


def test_one_declaration_may_need_many_trucks(pipeline: Pipeline, frontier: Frontier, engine: Engine) -> None:
    trucks = [
        crossing(f"m{number}", "arrived", "many", vehicle={"plates": [f"TR{number}"], "seal_numbers": ["A", "B"]}) for number in range(3)
    ]
    onto = {"plates": ["NEW1", "TRAILER"], "seal_numbers": ["C"]}
    trucks.append(crossing("m9", "transshipped", "many", onto_vehicle=onto))
    pipeline.process(frontier.deliveries([frontier.post.event(truck, CROSSING) for truck in trucks], CROSSING))
    query = (
        select(crossing_event).where(crossing_event.c.declaration_reference == "TJ/TJPNJ/2026/many").order_by(crossing_event.c.reference)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    assert [row.vehicle_plates for row in rows] == [["TR0"], ["TR1"], ["TR2"], ["1234AB01"]]
    assert rows[0].vehicle_seal_numbers == ["A", "B"]
    assert str(rows[0].part_gross_mass_kg).startswith("1250.5")
    assert rows[3].onto_vehicle == {"plates": ["NEW1", "TRAILER"], "seal_numbers": ["C"]}
