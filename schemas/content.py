"""Which model checks the `data` of which type, how a fault found by pydantic becomes coded problems, and how contents are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas import strict_json
from schemas.control import Beacon, Crl, Manifest, ManifestAnswer, ManifestRequest, Receipt, Recovery, RecoveryAnswer, Withdrawal
from schemas.crossing import CrossingEvent
from schemas.declarations import ExportDeclaration, ImportDeclaration, TransitDeclaration
from schemas.errors import FIELD_LIMIT, TEXT_LIMIT, ContentError, Problem, shown
from schemas.limits import PROBLEMS
from schemas.names import EventType

StreamData = ExportDeclaration | ImportDeclaration | TransitDeclaration | CrossingEvent

MODELS: dict[str, type[BaseModel]] = {
    EventType.EXPORT_DECLARATION: ExportDeclaration,
    EventType.IMPORT_DECLARATION: ImportDeclaration,
    EventType.TRANSIT_DECLARATION: TransitDeclaration,
    EventType.CROSSING_EVENT: CrossingEvent,
    EventType.RECEIPT: Receipt,
    EventType.BEACON: Beacon,
    EventType.CRL: Crl,
    EventType.MANIFEST: Manifest,
    EventType.MANIFEST_ANSWER: ManifestAnswer,
    EventType.MANIFEST_REQUEST: ManifestRequest,
    EventType.RECOVERY: Recovery,
    EventType.RECOVERY_ANSWER: RecoveryAnswer,
    EventType.WITHDRAWAL: Withdrawal,
}


def validate(event_type: str, data: dict[str, Any]) -> Any:
    """Check `data` against the model of its type and give the model's value; ContentError with up to 20 problems otherwise."""
    model = MODELS.get(event_type)
    if model is None:
        raise ContentError("type-unknown", "no such type in this version of the protocol", field="type", value=event_type)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ContentError.of(problems_of(error)) from None


def canonical_bytes(data: Mapping[str, Any]) -> bytes:
    """One spelling for one content, whatever the order of its fields: JSON with sorted keys and no spaces, UTF-8."""
    return strict_json.write(data, sorted_names=True)


def content_digest(data: Mapping[str, Any]) -> bytes:
    """SHA-256 over the canonical bytes: equal for the same content, whoever wrote it down."""
    return hashlib.sha256(canonical_bytes(data)).digest()


def problems_of(error: ValidationError, prefix: str = "") -> tuple[Problem, ...]:
    """Turn pydantic's findings into coded problems, `schema-<pydantic's type>` by kind of fault, the first 20."""
    return tuple(
        Problem(
            code=_code_of(finding["type"], finding.get("ctx", {})),
            text=finding["msg"].removeprefix("Value error, ")[:TEXT_LIMIT],
            field=(prefix + ".".join(str(step) for step in finding["loc"]))[:FIELD_LIMIT] or None,
            value=None if isinstance(finding["input"], (dict, list, tuple)) else shown(finding["input"]),
        )
        for finding in error.errors(include_url=False)[:PROBLEMS]
    )


def _code_of(kind: str, context: dict[str, Any]) -> str:
    if kind == "missing":
        return "field-missing"
    if kind == "extra_forbidden":
        return "field-unknown"
    if kind == "code_unknown":
        return "code-unknown"
    if kind == "value_error":
        return "rule-broken"
    return "field-invalid"
