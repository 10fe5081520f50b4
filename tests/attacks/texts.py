"""Every text that may come over the wire, found by walking the models: where it stands, and what bounds it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from schemas.errors import cleaned
from schemas.text import check_text

SAFE = (check_text, cleaned)  # the functions after which a text harms no terminal


@dataclass(frozen=True, slots=True)
class TextField:
    """A text in a model: `path` from its root (`items.*.description`), its pattern, its length, and whether it is checked or cleaned."""

    path: str
    pattern: str | None
    most: int | None
    checked: bool

    @property
    def harmless(self) -> bool:
        """Whether no control character gets through it, by a pattern or by a check."""
        return self.pattern is not None or self.checked


def text_fields(model: type[BaseModel], before: str = "", seen: tuple[type, ...] = ()) -> Iterator[TextField]:
    """Walk a model and all models in it."""
    if model in seen:
        return
    for name, field in model.model_fields.items():
        yield from _of(field.annotation, [field, *field.metadata], f"{before}{name}", (*seen, model))


def _of(annotation: Any, metadata: list[Any], path: str, seen: tuple[type, ...]) -> Iterator[TextField]:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        yield from _of(inner, [*metadata, *more], path, seen)
    elif origin in (typing.Union, types.UnionType):
        for each in get_args(annotation):
            yield from _of(each, metadata, path, seen)
    elif origin in (tuple, list):
        for each in get_args(annotation):
            if each is not Ellipsis:
                yield from _of(each, [], f"{path}.*", seen)
    elif annotation is str:
        yield TextField(path, _first(metadata, "pattern"), _first(metadata, "max_length"), _checked(metadata))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from text_fields(annotation, f"{path}.", seen)


def _first(metadata: list[Any], name: str) -> Any:
    for each in _flat(metadata):
        found = getattr(each, name, None)
        if found is not None:
            return found
    return None


def _checked(metadata: list[Any]) -> bool:
    return any(isinstance(each, AfterValidator) and each.func in SAFE for each in _flat(metadata))


def _flat(metadata: list[Any]) -> Iterator[Any]:
    for each in metadata:
        yield each
        if isinstance(each, FieldInfo):
            yield from _flat(each.metadata)
