"""Drafts whose version the outbox gives: consecutive numbers, each content once, and never a guess. On a real outbox."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert

from broker.outbox.engine import open_engine, writing
from broker.outbox.store import Outbox
from broker.outbox.tables import archived_event
from broker.outbox.values import Draft, UnnumberedDraft, WithdrawalWish
from schemas.content import content_digest
from schemas.errors import ConflictError, PanjError
from schemas.limits import VERSIONS
from schemas.names import Party, house_of
from tests.unit.outbox.drafts import EXPORT, HOUSE, POST, HandClock, draft
from tests.unit.outbox.test_recovering import held_by_house, tell

OTHER = house_of("uz")
TRANSIT = "customs.transit-declaration.v1"


def version(number: int | str, content: str, given: int, corrects: int | None, *, destination: Party = HOUSE, kind: str = EXPORT) -> Draft:
    """What one version of a declaration says."""
    data = {"registration_number": str(number), "version": given, "corrects": corrects, "note": content}
    made = draft(number, given, event_type=kind, destination=destination)
    return replace(made, data=data, content_digest=content_digest(data))


def unnumbered(
    number: int | str, content: str = "", *, correction: bool = False, destination: Party = HOUSE, kind: str = EXPORT
) -> UnnumberedDraft:
    at = partial(version, number, content, destination=destination, kind=kind)
    return UnnumberedDraft(destination, kind, draft(number).reference, correction, at)


def given_to(outbox: Outbox, *handed_in: Draft | UnnumberedDraft) -> list[tuple[int, bool]]:
    """The versions that these got, and whether each was there before."""
    return [(one.version, one.duplicate) for one in outbox.accept(handed_in)]


def refusal(outbox: Outbox, *handed_in: Draft | UnnumberedDraft) -> str:
    with pytest.raises(PanjError) as caught:
        outbox.accept(handed_in)
    return caught.value.code


def test_the_first_is_version_one_and_each_other_content_the_next(outbox: Outbox) -> None:
    assert given_to(outbox, unnumbered(1, "a")) == [(1, False)]
    assert given_to(outbox, unnumbered(1, "b"), unnumbered(1, "c"), unnumbered(2, "a")) == [(2, False), (3, False), (1, False)]


def test_the_same_content_again_is_the_newest_version_again(outbox: Outbox) -> None:
    first = outbox.accept([unnumbered(1, "a"), unnumbered(1, "a"), unnumbered(1, "b")])
    (again,) = outbox.accept([unnumbered(1, "b")])
    assert [one.duplicate for one in first] == [False, True, False]
    assert (again.event_id, again.duplicate) == (first[2].event_id, True)


def test_a_correction_follows_what_was_sent_with_a_stated_version(outbox: Outbox) -> None:
    assert given_to(outbox, draft(1), unnumbered(1, "b", correction=True)) == [(1, False), (2, False)]
    assert given_to(outbox, draft(1, 7), unnumbered(1, "c", correction=True)) == [(7, False), (8, False)]
    assert given_to(outbox, unnumbered(1, "c", correction=True)) == [(8, True)]


def test_an_older_content_never_silently_undoes_the_newest(outbox: Outbox) -> None:
    given_to(outbox, unnumbered(1, "a"), unnumbered(1, "b"))
    with pytest.raises(ConflictError, match="sent as version 1, after which version 2 was sent") as caught:
        outbox.accept([unnumbered(2), unnumbered(1, "a")])
    assert [(problem.code, problem.field) for problem in caught.value.problems] == [("version-older", "drafts.1.version")]
    assert given_to(outbox, unnumbered(2)) == [(1, False)]  # nothing of the batch was kept


def test_a_correction_of_what_was_never_sent_is_refused_with_its_name(outbox: Outbox) -> None:
    with pytest.raises(ConflictError, match="no version of TJ/TJPNJ/2026/9 was sent from this outbox") as caught:
        outbox.accept([unnumbered(9, correction=True)])
    assert caught.value.code == "correction-unknown"


def test_a_correction_of_another_type_is_refused(outbox: Outbox) -> None:
    given_to(outbox, unnumbered(1, "a"))
    assert refusal(outbox, unnumbered(1, "b", correction=True, kind=TRANSIT)) == "correction-type"


def test_a_version_is_the_same_to_every_house_and_a_new_house_gets_the_newest(outbox: Outbox) -> None:
    both = (unnumbered(1, "a"), unnumbered(1, "a", destination=OTHER))
    assert given_to(outbox, *both) == [(1, False), (1, False)]
    assert given_to(outbox, unnumbered(1, "b")) == [(2, False)]
    assert given_to(outbox, unnumbered(1, "b"), unnumbered(1, "b", destination=OTHER)) == [(2, True), (2, False)]


def test_a_withdrawn_version_is_a_used_number_and_its_content_stays_withdrawn(outbox: Outbox) -> None:
    given_to(outbox, unnumbered(1, "a"), unnumbered(1, "b"))
    outbox.withdraw(WithdrawalWish(draft(1).reference, "wrong truck", version=2), "amina")
    assert refusal(outbox, unnumbered(1, "b")) == "version-withdrawn"
    assert given_to(outbox, unnumbered(1, "c")) == [(3, False)]


def test_a_version_learned_from_the_house_is_known_by_what_was_released(outbox: Outbox) -> None:
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    told = [version(1, "a", 1, None), version(1, "b", 2, 1)]
    tell(outbox, [held_by_house(one, lost, place) for place, one in enumerate(told, 1)])
    assert given_to(outbox, unnumbered(1, "b")) == [(2, True)]
    assert refusal(outbox, unnumbered(1, "a")) == "version-older"
    assert given_to(outbox, unnumbered(1, "c")) == [(3, False)]


def test_where_the_house_could_not_tell_the_content_no_number_is_guessed(outbox: Outbox) -> None:
    lost = outbox.epoch
    outbox.begin_recovery([HOUSE.urn])
    tell(outbox, [held_by_house(version(1, "a", 1, None), lost, 1, content=None)])
    assert refusal(outbox, unnumbered(1, "b")) == "versions-forgotten"
    assert given_to(outbox, unnumbered(1, "b", correction=True)) == [(2, False)]  # which the first version cannot have been


@pytest.mark.parametrize("kept", [(), ("a",)], ids=["nothing is kept", "the newest is kept"])
def test_what_is_archived_only_is_not_guessed_at(outbox: Outbox, url: str, kept: Sequence[str]) -> None:
    given_to(outbox, *(unnumbered(1, content) for content in kept))
    engine = open_engine(url)
    with writing(engine) as connection:
        gone = {"event_id": "gone", "reference": draft(1).reference, "destination": HOUSE.urn, "type": EXPORT}
        connection.execute(insert(archived_event), gone | {"epoch": outbox.epoch, "sequence": 1})
    engine.dispose()
    assert refusal(outbox, unnumbered(1, "b")) == "versions-forgotten"
    assert refusal(outbox, unnumbered(1, "b", correction=True)) == "versions-forgotten"
    assert [given_to(outbox, unnumbered(1, content)) for content in kept] == [[(1, True)] for _ in kept]
    assert outbox.types_of([draft(1).reference, "TJ/TJPNJ/2026/2"]) == {draft(1).reference: {EXPORT}}


def test_numbers_end_where_the_protocol_ends_them(outbox: Outbox) -> None:
    outbox.accept([draft(1, VERSIONS)])
    assert refusal(outbox, unnumbered(1, "b", correction=True)) == "field-invalid"


def test_stated_versions_cost_no_more_statements_than_before(outbox: Outbox) -> None:
    asked: list[str] = []
    event.listen(outbox._engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    outbox.accept([draft(number) for number in range(50)])
    assert not any("archived_event" in statement for statement in asked)
    assert sum("FROM outbox " in statement and "outbox.reference IN" in statement for statement in asked) == 1
    outbox.accept([unnumbered(number) for number in range(100, 150)])
    assert sum("archived_event" in statement for statement in asked) == 1  # for the whole batch


def test_two_intakes_at_once_never_give_a_number_twice(url: str, clock: HandClock) -> None:
    opened = [Outbox.open(url, POST, "test", clock) for _ in range(2)]
    opened[0].accept([unnumbered(1, "first")])
    ready = threading.Barrier(2)
    got: list[list[int]] = [[], []]

    def hand_in(place: int) -> None:
        ready.wait()
        for one in range(20):
            # Each also hands in what the other does: it is one event, whoever comes first.
            contents = [f"{place}-{one}", f"both-{one}"]
            for content in contents:
                try:
                    got[place] += [version for version, again in given_to(opened[place], unnumbered(1, content)) if not again]
                except ConflictError as error:
                    assert error.code == "version-older"  # noqa: PT017 - the other one was past it already

    threads = [threading.Thread(target=hand_in, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got[0] + got[1]) == list(range(2, 62))
    for outbox in opened:
        outbox.close()


Batches = st.lists(st.lists(st.tuples(st.integers(1, 2), st.sampled_from("abcd"), st.booleans()), min_size=1, max_size=4), max_size=8)


@settings(max_examples=60, deadline=None)
@given(batches=Batches)
def test_any_sequence_of_documents_gets_the_numbers_that_a_person_would_give(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, str, bool]]]
) -> None:
    outbox = Outbox.open(f"sqlite:///{_fresh(tmp_path_factory)}/outbox.sqlite", POST, "test", HandClock())
    model: dict[int, list[tuple[str, bool]]] = {}
    for batch in batches:
        after = {number: list(sent) for number, sent in model.items()}
        expected = [_by_hand(after.setdefault(number, []), content, correction) for number, content, correction in batch]
        handed_in = [unnumbered(number, f"{content}{correction}", correction=correction) for number, content, correction in batch]
        if all(isinstance(one, tuple) for one in expected):
            assert given_to(outbox, *handed_in) == expected
            model = after
        else:
            with pytest.raises(ConflictError) as caught:
                outbox.accept(handed_in)
            assert [problem.code for problem in caught.value.problems] == [one for one in expected if isinstance(one, str)]
    outbox.close()


def _by_hand(sent: list[tuple[str, bool]], content: str, correction: bool) -> tuple[int, bool] | str:
    """The version and whether it is known, or the code of a refusal; `sent` are the contents so far, a version each."""
    said = (content, correction)
    if sent and sent[-1] == said:
        return len(sent), True
    if said in sent:
        return "version-older"
    if correction and not sent:
        return "correction-unknown"
    sent.append(said)
    return len(sent), False


def _fresh(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("versions")
