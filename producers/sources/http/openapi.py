"""The HTTP intake's OpenAPI 3.1 document, made of the very models that it answers with. Served as /openapi.json."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from producers.sources.http.answers import DECLARATIONS, Fates, Health, NotTaken, Taken

_MODELS: tuple[type[BaseModel], ...] = (Taken, NotTaken, Fates, Health)
_LATER = {"Retry-After": {"description": "seconds to wait before it is sent again", "schema": {"type": "integer"}}}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "the same key with the same body gets the same answer for a week; with another body it is refused",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[\\x21-\\x7e]+$"},
}
_EVENT = {"name": "event_id", "in": "path", "required": True, "description": "any event of the declaration", "schema": {"type": "string"}}


def describe(*, with_tokens: bool) -> dict[str, Any]:
    """Give the document; `with_tokens` where bearer tokens let in, otherwise client certificates alone do."""
    scheme = {"bearer": {"type": "http", "scheme": "bearer"}} if with_tokens else {"certificate": {"type": "mutualTLS"}}
    _, definitions = models_json_schema([(model, "serialization") for model in _MODELS], ref_template="#/components/schemas/{model}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Panj: HTTP intake of a border post",
            "version": version("panj"),
            "description": "Declarations in any format that the post reads, durably accepted before they are answered.",
        },
        "paths": {
            DECLARATIONS: {"post": _declare(with_tokens=with_tokens)},
            f"{DECLARATIONS}/{{event_id}}": {"get": _ask(with_tokens=with_tokens)},
            "/openapi.json": {"get": _plain("describe", "this document", {"200": _open("this document", {"type": "object"})})},
            "/healthz": {"get": _plain("health", "whether declarations can be taken", _health())},
        },
        "components": {"schemas": definitions["$defs"], "securitySchemes": scheme},
        "security": [{name: []} for name in scheme],
    }


def _declare(*, with_tokens: bool) -> dict[str, Any]:
    body = {"schema": {"description": "a document in a format of the post; its content tells which, or application/vnd.panj.<format>"}}
    answers = {
        "202": _said(Taken, "all of it is on disk", {"Location": {"description": "its fates", "schema": {"type": "string"}}}),
        "400": _said(NotTaken, "a header is wrong"),
        "408": _said(NotTaken, "the body took too long"),
        "409": _said(NotTaken, "it contradicts what was accepted before, or its key is in use at this moment"),
        "413": _said(NotTaken, "the body is too large"),
        "415": _said(NotTaken, "no format of the post, or packed"),
        "422": _said(NotTaken, "something in it is wrong, or its key came with another body; what was good is taken"),
        "429": _said(NotTaken, "no room for more at the moment", _LATER),
        "503": _said(NotTaken, "the outbox is away, or accepts nothing", _LATER),
    }
    return {
        "operationId": "declare",
        "summary": "Hand in declarations",
        "parameters": [_KEY],
        "requestBody": {"required": True, "content": {"*/*": body}},
        "responses": answers | _doors(with_tokens=with_tokens, writes=True),
    }


def _ask(*, with_tokens: bool) -> dict[str, Any]:
    answers = {
        "200": _said(Fates, "what became of it so far, at each destination"),
        "404": _said(NotTaken, "no such event here"),
        "429": _said(NotTaken, "the outbox is busy", _LATER),
        "503": _said(NotTaken, "the outbox is away", _LATER),
    }
    doors = _doors(with_tokens=with_tokens, writes=False)
    return {"operationId": "fates", "summary": "Ask for a declaration's fates", "parameters": [_EVENT], "responses": answers | doors}


def _doors(*, with_tokens: bool, writes: bool) -> dict[str, Any]:
    if not with_tokens:
        return {}
    return {"401": _said(NotTaken, "no token, or none that is known")} | (
        {"403": _said(NotTaken, "the token may only ask for fates")} if writes else {}
    )


def _health() -> dict[str, Any]:
    return {"200": _said(Health, "they can"), "503": _said(Health, "the outbox is away")}


def _plain(operation: str, summary: str, responses: Mapping[str, Any]) -> dict[str, Any]:
    return {"operationId": operation, "summary": summary, "security": [], "responses": dict(responses)}


def _said(model: type[BaseModel], description: str, headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return _open(description, {"$ref": f"#/components/schemas/{model.__name__}"}) | ({"headers": dict(headers)} if headers else {})


def _open(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": dict(schema)}}}
