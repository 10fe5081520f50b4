"""A post's manifests as the house answers them: agreed, lacking, differing; the chain; and what is kept of both sides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select, text

from broker.audit import Act, append
from broker.trust.signing import b64url
from consumers.closing import covering, lines_of
from consumers.closing_tables import closing, closing_stream
from consumers.pipeline import Pipeline
from consumers.tables import audit, inbox
from schemas.closing import Line, block_digest, spans
from schemas.control import ManifestAnswer
from schemas.event import digest_of, new_epoch, utc_text
from schemas.names import EventType
from tests.integration.consumers.desk import ControlDesk
from tests.integration.consumers.frontier import CROSSING, EXPORT, HOUSE, Frontier, Post, crossing, declaration


@pytest.fixture
def post(frontier: Frontier) -> Post:
    return frontier.new_post("panji-poyon")


@pytest.fixture
def desk(engine: Engine, frontier: Frontier, post: Post) -> ControlDesk:
    return ControlDesk(engine, frontier, post)


def stream_of(raws: Sequence[bytes], first: int = 1) -> dict[str, Any]:
    """What a manifest says of a stream whose events these are, from the block that holds `first`."""
    events = [(json.loads(raw), digest_of(raw)) for raw in raws]
    lines = [Line(event["sequence"], event["id"], digest) for event, digest in events]
    last = lines[-1].sequence
    blocks = [
        {"first": start, "last": end, "digest": b64url(block_digest(line for line in lines if start <= line.sequence <= end))}
        for start, end in spans(first, last)
    ]
    return {"type": events[0][0]["type"], "epoch": events[0][0]["epoch"], "last": last, "blocks": blocks}


def manifest(number: int, *streams: dict[str, Any], previous: str | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"number": number, "closed_at": utc_text(datetime.now(UTC)), "streams": list(streams)}
    return said | ({} if previous is None else {"previous": previous})


def taken_in(pipeline: Pipeline, frontier: Frontier, post: Post, count: int) -> list[bytes]:
    """Events of the post that the house has loaded."""
    raws = [post.event(declaration(f"m{post.sequences.get(EXPORT, 0)}", items=1)) for _ in range(count)]
    for first in range(0, count, 500):
        pipeline.process([frontier.delivery(post.bundle(raws[first : first + 500]))])
    return raws


def answered(desk: ControlDesk, said: dict[str, Any]) -> tuple[ManifestAnswer, str]:
    """Let the post say a manifest; the house's answer, and its digest."""
    raw = desk.say(EventType.MANIFEST, said)
    (home,) = desk.heard()
    assert home.event.type == EventType.MANIFEST_ANSWER
    answer = ManifestAnswer.model_validate(home.event.data)
    assert (answer.number, answer.manifest) == (said["number"], b64url(digest_of(raw)))
    return answer, b64url(home.digest)


def test_what_is_equal_is_agreed_and_both_sides_bytes_are_kept(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine
) -> None:
    raws = taken_in(pipeline, frontier, post, 1_100)
    crossings = [post.event(crossing(f"c{number}", "arrived", "m1"), CROSSING) for number in range(3)]
    pipeline.process([frontier.delivery(post.bundle(crossings, CROSSING))])
    with engine.begin() as connection:
        entry = append(connection, audit, Act("rahim", "held.discarded", "somewhat"), datetime.now(UTC))
    answer, digest = answered(desk, manifest(1, stream_of(raws), stream_of(crossings)))
    assert answer.agreed
    assert (answer.last_number, answer.last_digest, answer.audit_head) == (0, None, entry.digest)
    assert answer.backup_horizon_seconds == 30 * 86_400
    second, _ = answered(desk, manifest(2, stream_of(raws[1_000:], 1_001), previous=digest))
    assert second.agreed
    assert (second.last_number, second.last_digest) == (1, digest)
    with engine.connect() as connection:
        rows = connection.execute(select(closing).order_by(closing.c.number)).all()
        assert [(row.number, row.agreed, row.follows, row.compared, row.differing) for row in rows] == [
            (1, True, True, 3, 0),
            (2, True, True, 1, 0),
        ]
        for row in rows:
            assert digest_of(bytes(row.manifest)) == bytes(row.manifest_digest)
            assert digest_of(bytes(row.answer)) == bytes(row.answer_digest)
            assert json.loads(row.answer)["data"]["manifest"] == b64url(bytes(row.manifest_digest))
        found = covering(connection, post.party.urn, EXPORT, post.epoch, 1_050)
        assert found is not None
        assert found.number == 1
        assert covering(connection, post.party.urn, EXPORT, post.epoch, 1_101) is None


def test_what_is_lacking_is_named_and_nothing_of_it_is_agreed(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine
) -> None:
    raws = taken_in(pipeline, frontier, post, 2_050)
    with engine.begin() as connection:
        gone = inbox.c.sequence.in_([7, 8, 9, 1_500]) | (inbox.c.sequence > 2_000)
        connection.execute(delete(inbox).where(inbox.c.epoch == post.epoch, gone))
    answer, _ = answered(desk, manifest(1, stream_of(raws)))
    assert not answer.agreed
    assert [each.missing for each in answer.differences] == [((7, 9),), ((1_500, 1_500),), ((2_001, 2_050),)]
    with engine.connect() as connection:
        assert connection.execute(select(closing_stream)).first() is None
    again = [raws[6], raws[7], raws[8], raws[1_499], *raws[2_000:]]
    pipeline.process([frontier.delivery(post.bundle(again))])
    answer, _ = answered(desk, manifest(1, stream_of(raws)))
    assert answer.agreed


def test_a_block_that_differs_by_an_id_is_answered_with_the_lines_that_are_held(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier
) -> None:
    raws = taken_in(pipeline, frontier, post, 20)
    other = json.loads(raws[4]) | {"id": "01900000-0000-7000-8000-000000000000"}
    changed = [*raws[:4], json.dumps(other, separators=(",", ":")).encode(), *raws[5:]]
    answer, _ = answered(desk, manifest(1, stream_of(changed)))
    (difference,) = answer.differences
    assert [line.sequence for line in difference.held] == list(range(1, 21))
    assert difference.held[4].id == json.loads(raws[4])["id"]


def test_the_same_manifest_again_is_answered_the_same(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine
) -> None:
    raws = taken_in(pipeline, frontier, post, 3)
    with engine.begin() as connection:
        connection.execute(delete(inbox).where(inbox.c.epoch == post.epoch, inbox.c.sequence == 2))
    said = desk.say(EventType.MANIFEST, manifest(1, stream_of(raws)))
    (first,) = desk.heard()
    pipeline.process([frontier.delivery(post.bundle(raws))])
    desk.repeat(EventType.MANIFEST, said)
    desk.repeat(EventType.MANIFEST, said)
    assert [home.digest for home in desk.heard()] == [first.digest] * 2


def test_a_manifest_speaks_only_of_its_sender_s_own_streams(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine
) -> None:
    raws = taken_in(pipeline, frontier, post, 3)
    stranger = ControlDesk(engine, frontier, frontier.new_post("nizhny-panj"))
    answer, _ = answered(stranger, manifest(1, stream_of(raws)))
    assert answer.differences[0].missing == ((1, 3),)


def test_a_house_set_back_takes_the_post_s_chain_up_where_it_is_and_remembers_the_gap(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine
) -> None:
    raws = taken_in(pipeline, frontier, post, 3)
    previous = None
    for number in (1, 2, 3):
        _, previous = answered(desk, manifest(number, stream_of(raws), previous=previous))
    with engine.begin() as connection:  # what a backup of before the second one does
        connection.execute(delete(closing).where(closing.c.number > 1))
    answer, digest = answered(desk, manifest(4, stream_of(raws), previous=previous))
    assert answer.agreed
    assert answer.last_number == 1
    assert answered(desk, manifest(5, stream_of(raws), previous=digest))[0].agreed
    with engine.connect() as connection:
        rows = connection.execute(select(closing.c.number, closing.c.follows).order_by(closing.c.number)).all()
    assert [tuple(row) for row in rows] == [(1, True), (4, False), (5, True)]


def test_a_post_set_back_is_told_the_later_closing_and_nothing_is_written_over(
    desk: ControlDesk, post: Post, pipeline: Pipeline, frontier: Frontier, engine: Engine
) -> None:
    raws = taken_in(pipeline, frontier, post, 3)
    _, first = answered(desk, manifest(1, stream_of(raws)))
    _, second = answered(desk, manifest(2, stream_of(raws), previous=first))
    answer, _ = answered(desk, manifest(2, stream_of(raws[:2]), previous=first))
    assert not answer.agreed
    assert not answer.differences
    assert (answer.last_number, answer.last_digest) == (2, second)
    assert answered(desk, manifest(3, stream_of(raws), previous=second))[0].agreed
    with engine.connect() as connection:
        assert connection.execute(select(closing.c.follows).where(closing.c.number == 3)).scalar_one()


def test_another_chain_with_the_right_number_is_seen(desk: ControlDesk, post: Post, engine: Engine) -> None:
    answered(desk, manifest(1))
    answer, _ = answered(desk, manifest(2, previous="A" * 43))
    assert answer.agreed
    with engine.connect() as connection:
        assert not connection.execute(select(closing.c.follows).where(closing.c.number == 2)).scalar_one()


def test_a_stream_that_the_house_never_saw_is_lacking_as_a_whole(desk: ControlDesk, post: Post) -> None:
    blocks = [{"first": 1, "last": 1_000, "digest": "A" * 43}, {"first": 1_001, "last": 1_007, "digest": "A" * 43}]
    answer, _ = answered(desk, manifest(1, {"type": EXPORT, "epoch": new_epoch(), "last": 1_007, "blocks": blocks}))
    assert [each.missing for each in answer.differences] == [((1, 1_000),), ((1_001, 1_007),)]


def test_bad_manifests_are_parked_and_never_answered(desk: ControlDesk, post: Post, engine: Engine) -> None:
    desk.say(EventType.MANIFEST, manifest(0))
    desk.say(
        EventType.MANIFEST,
        manifest(1, {"type": EXPORT, "epoch": post.epoch, "last": 5, "blocks": [{"first": 1, "last": 4, "digest": "A" * 43}]}),
    )
    assert desk.heard() == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM parked")).scalar_one() == 2


def test_lines_are_found_through_the_index_of_places(engine: Engine) -> None:
    asked = lines_of(HOUSE.urn, HOUSE.urn, EXPORT, "0123456789abcdef", 1, 1_000).compile(engine, compile_kwargs={"literal_binds": True})
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        plan = "\n".join(
            str(row)
            for row in connection.execute(text(f"{'EXPLAIN QUERY PLAN' if engine.dialect.name == 'sqlite' else 'EXPLAIN'} {asked}"))
        )
    assert "uq_inbox_place" in plan or "sqlite_autoindex_inbox" in plan, plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan
