"""What the national system is told: one JSON document for each stage of each event, the same whichever way it goes. Pure."""

from __future__ import annotations

import json
from typing import Any

from broker.outbox.telling import Telling
from producers.formats.reading import LocatedProblem
from producers.reasons import told
from schemas.errors import Problem
from schemas.event import utc_text


def document_of(telling: Telling, post: str) -> dict[str, Any]:
    """Give it as an object; `post` is a URN. Its shape is that of Standard Webhooks: type, timestamp, data."""
    problems = [told(LocatedProblem(Problem.model_validate(problem))) for problem in telling.problems]
    return {
        "id": telling.name,
        "type": f"declaration.{telling.stage.value}",
        "timestamp": utc_text(telling.at_utc),
        "data": {
            "reference": telling.reference,
            "version": telling.version,
            "fate": telling.stage.value,
            "event_id": telling.event_id,
            "event_type": telling.type,
            "destination": telling.destination,
            "post": post,
            "problems": [{name: value for name, value in problem.items() if value is not None} for problem in problems],
        },
    }


def bytes_of(telling: Telling, post: str) -> bytes:
    """Give it as one line of JSON, UTF-8: the same bytes at each try."""
    return json.dumps(document_of(telling, post), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
