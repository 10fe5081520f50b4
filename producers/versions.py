"""Declarations whose version intake gives: what of one stays the same whatever its number, and what each version says. Pure.

The number itself is given within the outbox's transaction (`broker.outbox.versioning`), so that two intakes at once never give it twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from producers.formats.reading import ReadDeclaration
from schemas.content import validate
from schemas.declarations import Declaration, MessageFunction, declaration_reference
from schemas.drafts import missing, never_exchanged, without_version
from schemas.errors import ContentError

_SETTING = "posts.NAME.reading.correction_reason"
_OF_VERSION = ("version", "message_function", "corrects", "correction_reason")


@dataclass(frozen=True, slots=True)
class Unnumbered:
    """A declaration without its version, checked. `data` lacks what the version decides; `function` is what the document says it is.

    `reason` is why it is a correction, should it be one; None where neither the document nor its source's settings say it.
    """

    reference: str
    function: MessageFunction
    reason: str | None
    data: Mapping[str, Any]

    def at(self, version: int, corrects: int | None) -> dict[str, Any]:
        """Give the data of a version; ContentError `correction-reason-missing` where it corrects another and nothing says why."""
        if corrects is None:
            return {**self.data, "version": version, "message_function": MessageFunction.ORIGINAL.value}
        if self.reason is None:
            raise _reason_missing()
        function = MessageFunction.AMENDMENT if self.function is MessageFunction.ORIGINAL else self.function
        told = {"version": version, "message_function": function.value, "corrects": corrects, "correction_reason": self.reason}
        return {**self.data, **told}


def reference_of(data: Mapping[str, Any]) -> str | None:
    """The name of a declaration that is not checked yet, as far as its data say it."""
    parts = [data.get(name) for name in ("administration", "office_code", "registration_year", "registration_number")]
    if not (isinstance(parts[2], int) and all(isinstance(parts[place], str) for place in (0, 1, 3))):
        return None
    return declaration_reference(str(parts[0]), str(parts[1]), parts[2], str(parts[3]))


def unnumbered_of(read: ReadDeclaration) -> tuple[Declaration, Unnumbered]:
    """Check a declaration that is to get its version, and give its value as if it were the first, or the first correction.

    ContentError with all that is wrong with it.
    """
    said = without_version(read.type, read.data)
    reason = said.get("correction_reason") or read.correction_reason
    correction = said.get("message_function", MessageFunction.ORIGINAL) != MessageFunction.ORIGINAL
    if lacking := [name for name in missing(read.type, read.data) if name != "correction_reason"]:
        raise never_exchanged(lacking)
    if correction and reason is None:
        raise _reason_missing()
    first = {"version": 2, "corrects": 1, "correction_reason": reason} if correction else {"version": 1}
    value = validate(read.type, said | first)
    data = value.model_dump(mode="json", exclude_defaults=True)
    rest = {name: part for name, part in data.items() if name not in _OF_VERSION}
    return value, Unnumbered(value.reference, value.message_function, reason, rest)


def _reason_missing() -> ContentError:
    text = f"it corrects what was sent before, and neither the document nor {_SETTING} in exchange.toml says why: set it"
    return ContentError("correction-reason-missing", text, field="correction_reason")
