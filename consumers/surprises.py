"""What a handler raised, as a value to keep: which exception and where, and its traceback. The sender is told neither."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import cleaned

EXCEPTION_CHARACTERS = 200
TRACEBACK_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True)
class Surprise:
    """`exception`: type and place, the same for every event that fails in the same way; `traceback`: for the integration team."""

    exception: str
    traceback: str = field(repr=False)


def surprise_of(error: BaseException, module: str) -> Surprise:
    """Describe an exception that a handler of `module` raised.

    The place is the deepest one within that module: what an integrator can mend. Not its text, which differs from event to event.
    """
    frames = [(frame.f_globals.get("__name__", ""), frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    inside = [frame for frame in frames if f"{frame[0]}.".startswith(f"{module}.")] or frames
    said = type(error).__qualname__
    if inside:
        _, code, line = inside[-1]
        said = f"{said} in {code.co_name} ({Path(code.co_filename).name}:{line})"
    told = cleaned("".join(traceback.format_exception(error)))
    return Surprise(cleaned(said)[:EXCEPTION_CHARACTERS], told[-TRACEBACK_CHARACTERS:])
