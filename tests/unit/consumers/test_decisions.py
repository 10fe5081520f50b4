"""What is new, what came before, what contradicts: decided without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.bundle.open import OpenEvent
from broker.trust.signing import Signatory
from consumers.decisions import sort_out
from consumers.evidence import EvidenceRow
from consumers.inbox import Known
from consumers.opening import Arrival
from schemas.event import Event
from schemas.fates import Fate

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SIGNATORY = Signatory("urn:customs:tj:panji-poyon", "tj", "00" * 32, NOW, NOW)
EVIDENCE = EvidenceRow(b"b" * 32, "jws", SIGNATORY, NOW)


def arrival(number: int, sequence: int, digest: bytes) -> Arrival:
    event = Event(
        specversion="1.0",
        id=f"01930000-0000-7000-8000-{number:012d}",
        source="urn:customs:tj:panji-poyon",
        type="customs.export-declaration.v1",
        subject="TJ/PNJ/2026/1",
        time=NOW,
        dataschema="urn:panj:schema:customs.export-declaration.v1",
        destination="urn:customs:af:customs",
        environment="test",
        sequence=sequence,
        epoch="0123456789abcdef",
        purpose="customs-control",
        legalbasis="protocol",
        salt="A" * 22,
        data={},
    )
    return Arrival(OpenEvent(event, b"raw", digest), "tj", "af-customs.record", EVIDENCE)


def known(one: Arrival, **changes: Any) -> Known:
    values = {"event_id": one.id, "place": one.place, "digest": one.opened.digest, "fate": Fate.LOADED, "problems": ()}
    return Known(**(values | changes))


def test_an_unknown_event_is_fresh() -> None:
    one = arrival(1, 1, b"x")
    assert sort_out([one], []).fresh == (one,)


def test_the_same_id_and_digest_is_the_same_event_again() -> None:
    one = arrival(1, 1, b"x")
    assert sort_out([one], [known(one)]).again == (one,)
    assert sort_out([one, one], []).again == (one,)


def test_the_same_id_with_another_digest_is_a_conflict_in_the_inbox_and_in_the_batch() -> None:
    one, other = arrival(1, 1, b"x"), arrival(1, 1, b"y")
    assert [conflict.problem.code for conflict in sort_out([other], [known(one)]).conflicts] == ["event-conflict"]
    assert [conflict.problem.code for conflict in sort_out([one, other], []).conflicts] == ["event-conflict"]


def test_the_same_place_with_another_id_is_a_conflict() -> None:
    one, other = arrival(1, 7, b"x"), arrival(2, 7, b"y")
    assert [conflict.problem.code for conflict in sort_out([other], [known(one)]).conflicts] == ["sequence-conflict"]
    assert sort_out([one, other], []).fresh == (one,)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([b"x", b"y"])), max_size=12))
def test_every_arrival_is_sorted_once_and_no_id_and_no_place_is_fresh_twice(drawn: list[tuple[int, int, bytes]]) -> None:
    arrivals = [arrival(*values) for values in drawn]
    found = sort_out(arrivals, [])
    assert len(found.fresh) + len(found.again) + len(found.conflicts) == len(arrivals)
    assert len({one.id for one in found.fresh}) == len(found.fresh) == len({one.place for one in found.fresh})
