"""The evidence file as bytes: written and sealed by its exporter, read with every limit checked before the work that it bounds.

The file is one compact line of ASCII JSON, the one that writing it again gives; the seal signs the bytes of `account` as they stand in it.
So no byte of a file can change unnoticed. What its parts prove stands in `verify`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from broker.trust.keys import Identity
from broker.trust.signing import sign
from schemas import strict_json
from schemas.content import problems_of
from schemas.errors import ContentError, UsageError
from schemas.event import schema_of
from schemas.evidence import EVIDENCE_SCHEMA, Account, EvidenceFile
from schemas.limits import EVIDENCE_BYTES, EVIDENCE_MARKS

_FORMAT = schema_of(EVIDENCE_SCHEMA)


@dataclass(frozen=True, slots=True)
class ReadEvidence:
    """A file whose form is right: its account, the SHA-256 over the account's bytes, and the seal that should be over them."""

    account: Account = field(repr=False)
    digest: bytes = field(repr=False)
    seal: str = field(repr=False)


def write_evidence(account: Account, identity: Identity, now_utc: datetime) -> bytes:
    """Seal an account with the exporter's key and give the file's bytes; UsageError `evidence-too-large` past 64 MiB."""
    said = account.model_dump(mode="json", exclude_none=True)
    seal = sign([_digest_of(said)], identity, now_utc)
    raw = _compact({"format": _FORMAT, "account": said, "seal": seal}) + b"\n"
    if len(raw) > EVIDENCE_BYTES:
        raise UsageError("evidence-too-large", f"an evidence file has at most {EVIDENCE_BYTES} bytes: export one version", value=len(raw))
    return raw


def read_evidence(raw: bytes) -> ReadEvidence:
    """Read a file; ContentError `evidence-form` (or `json-…`) where it is not one, not written in its one spelling, or past a limit."""
    if len(raw) > EVIDENCE_BYTES:
        raise ContentError("evidence-form", f"an evidence file has at most {EVIDENCE_BYTES} bytes", value=len(raw))
    if not raw.isascii() or sum(raw.count(mark) for mark in b"{[,") > EVIDENCE_MARKS:
        raise ContentError("evidence-form", "an evidence file is ASCII, and holds no more parts than its format has")
    found = strict_json.parse(raw, EVIDENCE_BYTES)
    try:
        file = EvidenceFile.model_validate(found)
    except ValidationError as error:
        problem = problems_of(error)[0]
        raise ContentError("evidence-form", f"not an evidence file: {problem.text}"[:500], field=problem.field) from None
    if _compact(found) + b"\n" != raw:
        raise ContentError("evidence-form", "not written as evidence files are: one compact line, ended by one newline")
    return ReadEvidence(file.account, _digest_of(found["account"]), file.seal)


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _digest_of(account: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(_compact(account)).digest()
