"""The audit trail: who did what to what, when and why; insert-only and chained by digests. One in each database in which people act: a
post's outbox, a house's database. Its head goes into each closing, so that the other side's signature seals what was before.

Who may act is the operating system's business: the actor is the login that ran the command, as the kernel knows it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import PydanticCustomError
from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, Text, insert, select, text

from broker.trust.signing import b64url
from schemas.errors import UsageError
from schemas.event import utc_text
from schemas.text import check_text

_ADVISORY_KEY = 0x70616E6A03  # any number, the same in every process
REASON_CHARACTERS = 300
_REFUSAL = "the audit trail is insert-only"
_LOGIN = Path("/proc/self/loginuid")
_NO_LOGIN = 2**32 - 1  # what the kernel says where nobody has logged in: daemons, containers


def audit_table(metadata: MetaData) -> Table:
    """Declare the trail in a database's metadata. Plain text in every column: the digest is over what is read."""
    return Table(
        "audit",
        metadata,
        Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
        Column("at_utc", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("detail", Text, nullable=False),
        Column("previous", Text, nullable=False),
        Column("digest", Text, nullable=False),
    )


def guard(dialect: str) -> list[str]:
    """Give the statements that make the database itself refuse every change of the trail; migrations run them after making the table."""
    if dialect == "postgresql":
        return [
            f"CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$",
            "CREATE TRIGGER audit_rows BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
            "CREATE TRIGGER audit_all BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
        ]
    return [
        f"CREATE TRIGGER audit_{what.lower()} BEFORE {what} ON audit BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        for what in ("UPDATE", "DELETE")
    ]


def unguard(dialect: str) -> list[str]:
    """Give the statements that remove what `guard` made, once the table is gone."""
    return ["DROP FUNCTION audit_refuse()"] if dialect == "postgresql" else []


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did: `action` is `noun.verb_past` (`held.discarded`), `subject` what it was done to, `reason` in the actor's words."""

    actor: str
    action: str
    subject: str
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


class Entry(NamedTuple):
    """One row of the trail. `previous` and `digest` are SHA-256 in base64url without padding; the first one's `previous` is empty."""

    sequence: int
    at_utc: str
    actor: str
    action: str
    subject: str
    reason: str
    detail: str
    previous: str
    digest: str


def actor() -> str:
    """The login that acts, by its name.

    First what the kernel remembers of the login itself, through every su and sudo (proc(5), /proc/pid/loginuid): no variable of the
    environment can change it. Where there is none, the one who called sudo, which only root's environment may say; else who runs this.
    """
    login = _login()
    if login is not None:
        return _name_of(login)
    behind = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    return behind or _name_of(os.getuid())


def _login() -> int | None:
    try:
        login = int(_LOGIN.read_text())
    except (OSError, ValueError):  # not Linux, or a kernel without auditing
        return None
    return None if login == _NO_LOGIN else login


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def worded(reason: str) -> str:
    """Give a person's reason as it is kept and told, without blanks around it; UsageError `reason-missing` or `reason-unfit`."""
    words = reason.strip()
    if not words:
        raise UsageError("reason-missing", "say why: the audit trail keeps it, and who it concerns reads it", field="--reason")
    try:
        check_text(words)
    except PydanticCustomError as error:
        raise UsageError("reason-unfit", error.message(), field="--reason", value=words) from None
    if len(words) > REASON_CHARACTERS:
        raise UsageError("reason-unfit", f"a reason has at most {REASON_CHARACTERS} characters", field="--reason", value=len(words))
    return words


def append(connection: Connection, audit: Table, act: Act, now_utc: datetime) -> Entry:
    """Write an act down, within the transaction in which it is done."""
    if connection.dialect.name == "postgresql":  # on SQLite every writer holds the one lock already
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})
    last = connection.execute(select(audit.c.sequence, audit.c.digest).order_by(audit.c.sequence.desc()).limit(1)).first()
    detail = json.dumps(dict(act.detail), ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    sequence, previous = (1, "") if last is None else (last.sequence + 1, last.digest)
    said = (sequence, utc_text(now_utc), act.actor, act.action, act.subject, act.reason, detail, previous)
    entry = Entry(*said, digest_of_entry(said))
    connection.execute(insert(audit), entry._asdict())
    return entry


def digest_of_entry(said: tuple[Any, ...]) -> str:
    """SHA-256 over the JSON list of an entry's first eight values."""
    return b64url(hashlib.sha256(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()).digest())


def head(connection: Connection, audit: Table) -> str | None:
    """The digest of the last entry, which stands for the whole trail; None while nobody acted."""
    return connection.execute(select(audit.c.digest).order_by(audit.c.sequence.desc()).limit(1)).scalar()


def entries(connection: Connection, audit: Table, *, subject: str | None = None) -> list[Entry]:
    """The trail, or what was done to one subject, oldest first."""
    query = select(*(audit.c[name] for name in Entry._fields)).order_by(audit.c.sequence)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    return [Entry._make(row) for row in connection.execute(query)]


def first_broken(trail: Iterable[Entry]) -> int | None:
    """The sequence at which a whole trail does not hang together any more (changed, removed, inserted), None where it does."""
    previous, expected = "", 1
    for entry in trail:
        if entry.sequence != expected or entry.previous != previous or digest_of_entry(entry[:8]) != entry.digest:
            return entry.sequence
        previous, expected = entry.digest, expected + 1
    return None
