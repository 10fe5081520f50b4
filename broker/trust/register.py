"""The pilot authority's book: which certificates it issued, which it revoked, and the number of its last CRL: one JSON file.

Making certificates and CRLs stands in `authority`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from broker.trust.keys import write_atomically
from schemas.errors import ConflictError, SettingsError


class Kind(StrEnum):
    """What a certificate is for."""

    UNIT = "unit"
    SERVER = "server"
    LINK = "link"
    ENCRYPTION = "encryption"


class Issued(BaseModel):
    """One certificate of the authority; `serial` and `key_fingerprint` (SHA-256 of the public key) in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serial: str = Field(pattern=r"^[0-9a-f]{1,40}$")
    kind: Kind
    name: str
    urn: str | None = None
    issued_at_utc: AwareDatetime
    not_after_utc: AwareDatetime
    fingerprint: str
    key_fingerprint: str
    revoked_at_utc: AwareDatetime | None = None

    def state(self, now_utc: datetime) -> str:
        """`revoked`, `expired` or `valid`."""
        if self.revoked_at_utc is not None:
            return "revoked"
        return "expired" if self.not_after_utc < now_utc else "valid"


class Register(BaseModel):
    """The whole book."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    country: str = Field(pattern=r"^[a-z]{2}$")
    crl_number: int = Field(default=0, ge=0)
    issued: tuple[Issued, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Register:
        """Read the book; SettingsError where it is missing or broken."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise SettingsError(
                "authority-missing", f'no authority here ({error.strerror}): run "panj pki init"', field=str(path)
            ) from None
        except ValidationError as error:
            raise SettingsError("authority-broken", f"the book is damaged: {error.errors()[0]['msg']}", field=str(path)) from None

    def with_issued(self, issued: Issued) -> Register:
        """The book with one more certificate; ConflictError `key-shared` where its key is certified under another name."""
        for each in self.issued:
            if each.key_fingerprint == issued.key_fingerprint and (each.kind, each.name) != (issued.kind, issued.name):
                text = f"the key is certified already, for {each.name}: one key has one name"
                raise ConflictError("key-shared", text, field=issued.name)
        return self.model_copy(update={"issued": (*self.issued, issued)})

    def write(self, path: Path) -> None:
        """Replace the book in one step."""
        write_atomically(path, self.model_dump_json(indent=1).encode() + b"\n", mode=0o600)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the book for one change: two commands at the same moment wait for each other."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
