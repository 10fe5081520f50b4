"""Blocks, their digests, and what a house says of blocks that it compares."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.closing import Line, block_digest, block_of, compare, digest_text, gaps, spans, tell, unequal
from schemas.control import Manifest, ManifestAnswer, ManifestBlock, ManifestDifference, ManifestStream
from schemas.limits import ANSWER_LINES, BLOCK_EVENTS, MANIFEST_BLOCKS
from schemas.names import EventType

EXPORT = EventType.EXPORT_DECLARATION
EPOCH = "0123456789abcdef"


def lines_of(first: int, last: int) -> list[Line]:
    return [
        Line(sequence, f"01930000-0000-7000-8000-{sequence:012}", hashlib.sha256(str(sequence).encode()).digest())
        for sequence in range(first, last + 1)
    ]


def stated(lines: Sequence[Line]) -> ManifestStream:
    last = lines[-1].sequence
    blocks = tuple(
        ManifestBlock(first=first, last=end, digest=digest_text(block_digest(line for line in lines if first <= line.sequence <= end)))
        for first, end in spans(lines[0].sequence, last)
    )
    return ManifestStream(type=EXPORT, epoch=EPOCH, last=last, blocks=blocks)


@given(st.integers(1, 10_000), st.integers(0, 5_000))
def test_spans_cover_everything_once_and_are_aligned(first: int, more: int) -> None:
    last = first + more
    found = spans(first, last)
    assert [number for start, end in found for number in range(start, end + 1)] == list(range(block_of(first), last + 1))
    assert all(start % BLOCK_EVENTS == 1 for start, _ in found)
    assert all(end - start + 1 == BLOCK_EVENTS for start, end in found[:-1])


@given(st.integers(1, 50), st.integers(0, 60), st.sets(st.integers(1, 110)))
def test_what_is_held_and_what_is_missing_make_the_whole(first: int, more: int, numbers: set[int]) -> None:
    held = sorted(number for number in numbers if first <= number <= first + more)
    ranges = gaps(first, first + more, held)
    gone = [number for start, end in ranges for number in range(start, end + 1)]
    assert sorted([*held, *gone]) == list(range(first, first + more + 1))
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(ranges))


def test_a_block_s_digest_is_over_its_lines_as_the_protocol_writes_them() -> None:
    lines = lines_of(1, 2)
    text = "".join(f"{line.sequence} {line.id} {digest_text(line.digest)}\n" for line in lines)
    assert block_digest(lines) == hashlib.sha256(text.encode()).digest()


@given(st.integers(1, 2_600), st.sets(st.integers(1, 2_600), max_size=5), st.sets(st.integers(1, 2_600), max_size=3))
def test_a_house_finds_exactly_what_it_lacks_and_what_differs(last: int, lost: set[int], changed: set[int]) -> None:
    lines = lines_of(1, last)
    held = [
        line._replace(digest=bytes(32)) if line.sequence in changed else line for line in lines_of(1, last + 7) if line.sequence not in lost
    ]
    found = list(compare(stated(lines), held, {}))
    missing = {number for each in found for start, end in each.missing for number in range(start, end + 1)}
    assert missing == {number for number in lost if number <= last}
    expected = {block_of(number) for number in changed - lost if number <= last} - {block_of(number) for number in missing}
    assert {each.first for each in found if each.held} == expected
    for each in found:
        if each.held:
            pairs = unequal([line for line in lines if each.first <= line.sequence <= each.last], each.held)
            assert {sequence for sequence, _, _ in pairs} == {number for number in changed if each.first <= number <= each.last}


def test_an_archived_block_is_compared_by_the_digest_that_it_had() -> None:
    stream = stated(lines_of(1, 1_500))
    held = lines_of(1_001, 1_500)
    assert list(compare(stream, held, {1: (1_000, stream.blocks[0].digest)})) == []
    (difference,) = compare(stream, held, {1: (1_000, stream.blocks[1].digest)})
    assert difference.archived


def test_what_the_post_itself_does_not_know_is_left_out_on_both_sides() -> None:
    lines = [line for line in lines_of(1, 20) if line.sequence not in (5, 6, 9)]
    block = ManifestBlock(first=1, last=20, digest=digest_text(block_digest(lines)), absent=((5, 6), (9, 9)))
    stream = ManifestStream(type=EXPORT, epoch=EPOCH, last=20, blocks=(block,))
    assert list(compare(stream, lines, {})) == []
    assert list(compare(stream, lines_of(1, 20), {})) == []
    assert next(iter(compare(stream, lines[1:], {}))).missing == ((1, 1),)


def test_an_answer_names_what_can_be_healed_first_and_counts_what_has_no_room() -> None:
    place = {"type": EXPORT, "epoch": EPOCH}
    held = [
        ManifestDifference(
            **place,
            first=first,
            last=first + 999,
            held=[{"sequence": line.sequence, "id": line.id, "digest": digest_text(line.digest)} for line in lines_of(first, first + 999)],
        )
        for first in range(1, 5_001, 1_000)
    ]
    missing = [ManifestDifference(**place, first=9_001, last=10_000, missing=((9_001, 9_500),))]
    told = tell([*held, *missing])
    assert told.differences[0].missing
    assert sum(1 + len(each.missing) + len(each.held) for each in told.differences) <= ANSWER_LINES
    assert len(told.differences) + told.untold == 6


def test_a_stream_s_blocks_follow_each_other_and_end_where_it_says() -> None:
    def blocks(*pairs: tuple[int, int]) -> tuple[ManifestBlock, ...]:
        return tuple(ManifestBlock(first=first, last=last, digest="A" * 43) for first, last in pairs)

    ManifestStream(type=EXPORT, epoch=EPOCH, last=2_345, blocks=blocks((1_001, 2_000), (2_001, 2_345)))
    ManifestStream(type=EXPORT, epoch=EPOCH, last=2_345, blocks=())
    for last, pairs in ((2_345, [(1, 1_000), (2_001, 2_345)]), (2_000, [(1, 999), (1_001, 2_000)]), (1_500, [(1, 1_000)])):
        with pytest.raises(ValidationError, match="follow each other"):
            ManifestStream(type=EXPORT, epoch=EPOCH, last=last, blocks=blocks(*pairs))
    for first, last in ((2, 900), (1, 1_001), (1_001, 1_000)):
        with pytest.raises(ValidationError, match="a block begins"):
            ManifestBlock(first=first, last=last, digest="A" * 43)


def test_a_manifest_has_its_limits_and_names_a_stream_once() -> None:
    block = [{"first": first, "last": first + 999, "digest": "A" * 43} for first in range(1, MANIFEST_BLOCKS * 1_000 + 1, 1_000)]
    whole = {"type": EXPORT, "epoch": EPOCH, "last": MANIFEST_BLOCKS * 1_000, "blocks": block}
    other = {"type": EXPORT, "epoch": EPOCH[::-1], "last": 1_000, "blocks": block[:1]}
    base = {"number": 1, "closed_at": "2026-11-24T12:00:00Z"}
    Manifest.model_validate({**base, "streams": [whole]})
    with pytest.raises(ValidationError, match="at most"):
        Manifest.model_validate({**base, "streams": [whole, other]})
    with pytest.raises(ValidationError, match="names a stream once"):
        Manifest.model_validate({**base, "streams": [other, other]})


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ({"agreed": True}, True),
        ({"agreed": False}, False),
        ({"agreed": False, "last_number": 5, "last_digest": "A" * 43}, True),
        ({"agreed": True, "last_number": 5, "last_digest": "A" * 43}, False),
        ({"agreed": True, "last_number": 4, "last_digest": "A" * 43}, True),
        ({"agreed": True, "last_number": 4}, False),
        ({"agreed": False, "differences": [{"missing": [[3, 4]]}]}, True),
        ({"agreed": True, "differences": [{"missing": [[3, 4]]}]}, False),
        ({"agreed": False, "differences": [{"missing": [[3, 4], [4, 5]]}]}, False),
        ({"agreed": False, "differences": [{"missing": [[4, 3]]}]}, False),
        ({"agreed": False, "differences": [{"missing": [[999, 1001]]}]}, False),
        ({"agreed": False, "differences": [{"missing": [[3, 4]], "archived": True}]}, False),
        ({"agreed": False, "differences": [{}]}, False),
    ],
)
def test_an_answer_says_one_thing(more: dict[str, object], good: bool) -> None:
    place = {"type": EXPORT, "epoch": EPOCH, "first": 1, "last": 1_000}
    listed = more.get("differences", [])
    assert isinstance(listed, list)
    answer = {"number": 5, "manifest": "A" * 43, "backup_horizon_seconds": 86_400} | more
    answer["differences"] = [place | each for each in listed]
    if good:
        ManifestAnswer.model_validate(answer)
    else:
        with pytest.raises(ValidationError):
            ManifestAnswer.model_validate(answer)
