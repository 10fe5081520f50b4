"""Drafts: declarations and crossing events that lack what their national system, or the settings of their source, have yet to give.

A draft is checked by the same rules as a whole one, but for what is absent. It is looked at (`panj convert`) and never exchanged.

A declaration whose `version` is `NEXT` lacks nothing: its national system counts no versions, and intake gives it the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ValidationError, create_model

from schemas.content import MODELS, problems_of, validate
from schemas.declarations import Declaration, MessageFunction
from schemas.errors import ContentError

NEXT = "next"  # as the version of a declaration that is handed in: the one after the newest that was sent under its reference

VERSIONED = frozenset(event_type for event_type, model in MODELS.items() if issubclass(model, Declaration))

_AS_AMENDED = ("corrects", "correction_reason")


def unnumbered(data: Mapping[str, Any]) -> bool:
    """Whether intake gives the version. What it corrects is then the newest that was sent before, and not said either."""
    return data.get("version") == NEXT


def without_version(event_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Take `NEXT` out of the data; ContentError where it contradicts the rest."""
    if event_type not in VERSIONED:
        raise ContentError("field-unknown", "only declarations have versions", field="version", value=NEXT)
    if "corrects" in data:
        raise ContentError("rule-broken", f'version "{NEXT}" corrects the newest one: name no other', field="corrects")
    return {name: value for name, value in data.items() if name != "version"}


def validate_draft(event_type: str, data: dict[str, Any]) -> Any:
    """Check `data` as far as it goes and give a value of the type's model; ContentError with up to 20 problems of what is there."""
    try:
        return _draft_of(event_type).model_validate(data)
    except ValidationError as error:
        raise ContentError.of(problems_of(error)) from None


def check(event_type: str, data: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Check a whole declaration as what it is, and a draft as far as it goes: its value, and what it lacks. ContentError as above.

    One whose version intake gives is checked as far as it goes, too; nothing is known yet of its version.
    """
    lacking = missing(event_type, data)
    if unnumbered(data):
        return validate_draft(event_type, without_version(event_type, data)), lacking
    return (validate_draft if lacking else validate)(event_type, data), lacking


def missing(event_type: str, data: dict[str, Any]) -> tuple[str, ...]:
    """Name the fields of the type without which `data` is a draft, in the model's order."""
    model = MODELS[event_type]
    absent = [name for name, field in model.model_fields.items() if field.is_required() and data.get(name) is None]
    if issubclass(model, Declaration):
        function = data.get("message_function", MessageFunction.ORIGINAL)
        if function != MessageFunction.ORIGINAL:
            absent += [name for name in _AS_AMENDED if data.get(name) is None and not (name == "corrects" and unnumbered(data))]
        if function != MessageFunction.CANCELLATION and not data.get("items"):
            absent.append("items")
        if model.classified:
            items = data.get("items") or ()
            absent += [f"items.{place}.hs_code" for place, item in enumerate(items) if isinstance(item, dict) and not item.get("hs_code")]
    return tuple(absent)


def never_exchanged(lacking: Sequence[str]) -> ContentError:
    """Say that what lacks these fields is looked at only."""
    text = f"not whole yet: it lacks {', '.join(lacking)}; a draft is not exchanged"
    return ContentError("declaration-draft", text, field=lacking[0])


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
