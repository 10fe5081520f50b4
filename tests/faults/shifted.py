"""A clock that is wrong: `datetime.now` and `time.time` of this process, so many seconds ahead. Monotonic clocks are not touched.

To be called before our own modules are imported: whoever imports `datetime` later takes the altered type for the real one.
"""

from __future__ import annotations

import datetime as module
import time
from datetime import datetime as _Real
from typing import Any

from cryptography.x509.verification import PolicyBuilder

_real_time = time.time


def shift_clock(seconds: float) -> None:
    """Put this process's clock so many seconds ahead (behind, where negative)."""
    PolicyBuilder().time(_Real(2000, 1, 1))  # cryptography asks once which type instants are of: it is to be the real one
    ahead = module.timedelta(seconds=seconds)

    class AnyDatetime(type):
        """Values made by extensions written in C are of the real type: they are datetimes, too."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, _Real)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, _Real)

    class Shifted(_Real, metaclass=AnyDatetime):
        """The same, but for what the time is."""

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return _Real.now(tz) + ahead

        @classmethod
        def utcnow(cls) -> Any:
            return _Real.now(module.UTC).replace(tzinfo=None) + ahead

        @classmethod
        def today(cls) -> Any:
            return _Real.now() + ahead

    for owner, name, value in ((module, "datetime", Shifted), (time, "time", lambda: _real_time() + seconds)):
        setattr(owner, name, value)
