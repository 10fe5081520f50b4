"""The one tree of errors, and `Problem`, the value in which a fault travels: in receipts, reason files, logs and tables.

    PanjError                   anything this software refuses to do, with a code from `schemas.catalogue`
    ├── SettingsError           exchange.toml or a file it names is wrong: the operator mends it          exit code 2
    ├── UsageError              a command was called with arguments that make no sense                    exit code 2
    ├── ContentError            a trusted sender said something that cannot be loaded: REFUSED            exit code 1
    ├── DistrustError           a message that is not to be trusted or cannot be opened: PARKED           exit code 1
    ├── ConflictError           it contradicts what is already kept (another content under a known name)  exit code 1
    └── UnavailableError        a broker, database, disk or line is away: try again, nothing is lost      exit code 3

No error carries a whole declaration, a key or a password; `value` is cut to `VALUE_LIMIT` characters and cleaned of control characters.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

VALUE_LIMIT = 120
TEXT_LIMIT = 500
FIELD_LIMIT = 200
_SHOWABLE = "\n\u00a0\u200c\u200d"


def cleaned(text: str) -> str:
    """Give `text` with what cannot be shown safely replaced; line ends, a no-break space and the joiners of Persian stay."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character in _SHOWABLE else "�" for character in text)


# Problems come over the wire too, and are shown on terminals and pages.
_Shown = Annotated[str, AfterValidator(cleaned)]


class Problem(BaseModel):
    """One fault: its code in the catalogue, what is wrong in words, and where.

    `field` is a dotted path into the data (`items.2.hs_code`), `value` the offending value, cut short.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)
    text: _Shown = Field(max_length=TEXT_LIMIT)
    field: _Shown | None = Field(default=None, max_length=FIELD_LIMIT)
    value: _Shown | None = Field(default=None, max_length=VALUE_LIMIT)

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        what = f" (got {self.value!r})" if self.value is not None else ""
        return f"{where}{self.text}{what} [{self.code}]"


def shown(value: object, limit: int = VALUE_LIMIT) -> str:
    """Give `value` as short, printable text: control characters (terminal escapes among them) replaced, cut to `limit`."""
    text = cleaned(str(value)[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


class PanjError(Exception):
    """Something is wrong; `problems` say what, each with a code. The message is for people, the codes for programs."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, text: str, *, field: str | None = None, value: object = None, problems: tuple[Problem, ...] = ()) -> None:
        self.problems = problems or (
            Problem(
                code=code,
                text=text[:TEXT_LIMIT],
                field=None if field is None else field[:FIELD_LIMIT],
                value=None if value is None else shown(value),
            ),
        )
        super().__init__(text)

    @classmethod
    def of(cls, problems: tuple[Problem, ...] | list[Problem]) -> Any:
        """Make the error that carries these problems (at least one); its message is the first one's."""
        return cls(problems[0].code, problems[0].text, problems=tuple(problems))

    @property
    def code(self) -> str:
        """The code of the first problem."""
        return self.problems[0].code

    def __str__(self) -> str:
        return "; ".join(str(problem) for problem in self.problems)


class SettingsError(PanjError):
    """exchange.toml, or a file that it names, is wrong."""

    exit_code = 2


class UsageError(PanjError):
    """A command was called with arguments that make no sense."""

    exit_code = 2


class ContentError(PanjError):
    """A trusted sender said something that cannot be loaded; the sender learns the codes (fate REFUSED)."""


class DistrustError(PanjError):
    """A message is not to be trusted or cannot be opened; the sender learns nothing (fate PARKED)."""


class ConflictError(PanjError):
    """It contradicts what is already kept: the same name with another content."""


class UnavailableError(PanjError):
    """A broker, database, disk or line is away for now; nothing is lost, try again."""

    exit_code = 3
