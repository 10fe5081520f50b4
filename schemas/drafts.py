"""Drafts: declarations and crossing events that lack what their national system, or the settings of their source, have yet to give.

A draft is checked by the same rules as a whole one, but for what is absent. It is looked at (`panj convert`) and never exchanged.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ValidationError, create_model

from schemas.content import MODELS, problems_of, validate
from schemas.declarations import Declaration, MessageFunction
from schemas.errors import ContentError

_AS_AMENDED = ("corrects", "correction_reason")


def validate_draft(event_type: str, data: dict[str, Any]) -> Any:
    """Check `data` as far as it goes and give a value of the type's model; ContentError with up to 20 problems of what is there."""
    try:
        return _draft_of(event_type).model_validate(data)
    except ValidationError as error:
        raise ContentError.of(problems_of(error)) from None


def check(event_type: str, data: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Check a whole declaration as what it is, and a draft as far as it goes: its value, and what it lacks. ContentError as above."""
    lacking = missing(event_type, data)
    return (validate_draft if lacking else validate)(event_type, data), lacking


def missing(event_type: str, data: dict[str, Any]) -> tuple[str, ...]:
    """Name the fields of the type without which `data` is a draft, in the model's order."""
    model = MODELS[event_type]
    absent = [name for name, field in model.model_fields.items() if field.is_required() and data.get(name) is None]
    if issubclass(model, Declaration):
        function = data.get("message_function", MessageFunction.ORIGINAL)
        if function != MessageFunction.ORIGINAL:
            absent += [name for name in _AS_AMENDED if data.get(name) is None]
        if function != MessageFunction.CANCELLATION and not data.get("items"):
            absent.append("items")
        if model.classified:
            items = data.get("items") or ()
            absent += [f"items.{place}.hs_code" for place, item in enumerate(items) if isinstance(item, dict) and not item.get("hs_code")]
    return tuple(absent)


class _Draft(BaseModel):
    complete: ClassVar[bool] = False


@lru_cache(maxsize=16)
def _draft_of(event_type: str) -> type[BaseModel]:
    model = MODELS[event_type]
    needed = {name: field for name, field in model.model_fields.items() if field.is_required()}
    lenient: dict[str, Any] = {name: (_optional(field.annotation, field.metadata), None) for name, field in needed.items()}
    return create_model(f"Draft{model.__name__}", __base__=(_Draft, model), **lenient)


def _optional(annotation: Any, rules: list[Any]) -> Any:
    return (Annotated[(annotation, *rules)] if rules else annotation) | None
