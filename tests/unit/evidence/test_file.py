"""The evidence file as bytes: its one spelling, and limits that are checked before the work."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from broker.evidence.file import read_evidence, write_evidence
from schemas.errors import ContentError, UsageError
from schemas.evidence import Account
from schemas.limits import EVIDENCE_BYTES, EVIDENCE_EVENTS, EVIDENCE_MARKS
from tests.unit.evidence.cases import POST, SENDER, Crossing, account

CROSSING = Crossing()
RAW = CROSSING.file(CROSSING.of_post())


def test_what_was_written_is_read_and_is_one_line_of_ascii() -> None:
    made = CROSSING.of_post()
    raw = CROSSING.file(made)
    assert read_evidence(raw).account == made
    assert raw.isascii()
    assert raw.count(b"\n") == 1


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RAW)
    return found


SPOILED: dict[str, bytes] = {
    "indented": json.dumps(document(), indent=1).encode(),
    "with a space": RAW.replace(b'":"', b'": "', 1),
    "without its newline": RAW[:-1],
    "with two newlines": RAW + b"\n",
    "with a byte order mark": b"\xef\xbb\xbf" + RAW,
    "with a name twice": RAW.replace(b'{"format"', b'{"format":"urn:panj:schema:evidence.v1","format"', 1),
    "with an escape that need not be": RAW.replace(b"urn:panj", b"\\u0075rn:panj", 1),
    "with an unknown name": json.dumps(document() | {"note": "x"}, separators=(",", ":")).encode() + b"\n",
    "of another format": RAW.replace(b"evidence.v1", b"evidence.v2", 1),
    "without a seal": json.dumps({k: v for k, v in document().items() if k != "seal"}, separators=(",", ":")).encode() + b"\n",
    "a list": b"[]\n",
    "nothing": b"",
    "with NaN": RAW.replace(b'"sequence":1', b'"sequence":NaN', 1),
    "base64 cut short": RAW.replace(b'"raw":"ey', b'"raw":"y', 1),
    "deep": b'{"format":' + b"[" * 40 + b"]" * 40 + b"}\n",
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_not_in_its_one_spelling_is_no_evidence_file(name: str) -> None:
    assert SPOILED[name] != RAW
    with pytest.raises(ContentError):
        read_evidence(SPOILED[name])


def test_limits_are_checked_before_the_work() -> None:
    begun = time.monotonic()
    for raw in (
        b" " * (EVIDENCE_BYTES + 1),
        b'{"format":[' + b"{}," * (EVIDENCE_MARKS // 2 + 1) + b"{}]}\n",
        '{"format":"é"}\n'.encode(),
    ):
        with pytest.raises(ContentError, match="evidence-form"):
            read_evidence(raw)
    assert time.monotonic() - begun < 5


def test_a_file_holds_so_many_events_and_no_more() -> None:
    entry = CROSSING.of_post().events[0]
    most = account(POST, *[entry] * EVIDENCE_EVENTS)
    assert len(read_evidence(CROSSING.file(most)).account.events) == EVIDENCE_EVENTS
    said = most.model_dump(mode="json", exclude_none=True)
    with pytest.raises(ValueError, match="at most 100"):
        Account.model_validate(said | {"events": [*said["events"], said["events"][0]]})


def test_a_file_that_would_be_too_large_is_not_written() -> None:
    entry = CROSSING.of_post().events[0].model_copy(update={"plaintext": bytes(1024 * 1024)})
    with pytest.raises(UsageError, match="evidence-too-large"):
        write_evidence(account(POST, *[entry] * 50), SENDER, CROSSING.exported_at)
