"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def until(look: Callable[[], Answer], seconds: float = 30.0) -> Answer:
    """Give the first true answer; the last answer where none came in time."""
    end = time.monotonic() + seconds
    while not (answer := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer
