"""Bearer tokens: who may hand in by HTTP. Their file holds digests only, so that a copy of it opens nothing.

One token a line: SHA-256 in hex, a name, and `read-only` where it may only ask for fates. RFC 6750 is how they are sent.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from broker.settings.secret_files import read_secret
from broker.trust.keys import write_atomically
from schemas.errors import ConflictError, SettingsError, UsageError

READ_ONLY = "read-only"
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LINE = re.compile(rf"([0-9a-f]{{64}}) ({_NAME.pattern})( {READ_ONLY})?")
_NAME_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Token:
    """One who may come: by this name, with a token of this digest."""

    name: str
    digest: str
    read_only: bool = False

    def line(self) -> str:
        """How it stands in the file."""
        return f"{self.digest} {self.name}{f' {READ_ONLY}' if self.read_only else ''}\n"


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Read the file; SettingsError `secret-mode`, `file-unreadable`, or `tokens-form` where a line is none of ours."""
    tokens = []
    for number, line in enumerate(read_secret(path).decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise SettingsError("tokens-form", f'line {number} is not what "panj post token" writes', field=str(path))
        tokens.append(Token(found.group(2), found.group(1), found.group(3) is not None))
    return tuple(tokens)


def find_token(tokens: tuple[Token, ...], said: str) -> Token | None:
    """Whose token was said. Every one is compared, in constant time: how long it takes tells nothing."""
    digest = digest_of_token(said)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def digest_of_token(said: str) -> str:
    """SHA-256 in hex. A token has 256 random bits of its own: it needs no salt and no slow hash."""
    return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()


def add_token(path: Path, name: str, *, read_only: bool = False, dry_run: bool = False) -> str:
    """Make a token of this name and write its digest down; the token itself is returned, and kept nowhere."""
    if _NAME.fullmatch(name) is None or len(name) > _NAME_CHARACTERS:
        raise UsageError("token-name", "a token's name is lower-case words with hyphens, up to 40 characters", field="NAME", value=name)
    tokens = read_tokens(path) if path.exists() else ()
    if any(token.name == name for token in tokens):
        text = "there is a token of this name: remove it first, or give the new one another name and remove the old one once it is unused"
        raise ConflictError("token-exists", text, field="NAME", value=name)
    said = f"panj_{secrets.token_urlsafe(32)}"
    if not dry_run:
        _write(path, (*tokens, Token(name, digest_of_token(said), read_only)))
    return said


def remove_token(path: Path, name: str, *, dry_run: bool = False) -> None:
    """Remove a token: from the next request on it opens nothing. UsageError `token-unknown` where there is none of this name."""
    tokens = read_tokens(path)
    left = tuple(token for token in tokens if token.name != name)
    if left == tokens:
        known = ", ".join(token.name for token in tokens) or "none"
        raise UsageError("token-unknown", f"there is no token of this name; there are: {known}", field="NAME", value=name)
    if not dry_run:
        _write(path, left)


def _write(path: Path, tokens: tuple[Token, ...]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError("file-unwritable", f"cannot make its directory: {error.strerror}", field=str(path)) from None
    write_atomically(path, "".join(token.line() for token in tokens).encode(), 0o600)


class Tokens:
    """The tokens of a file, read again when it changes: one that is removed opens nothing from then on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def find(self, said: str) -> Token | None:
        """Whose token it is; SettingsError where the file cannot be read."""
        return find_token(self.current(), said)

    def current(self) -> tuple[Token, ...]:
        """The tokens as the file has them now."""
        try:
            found = self._path.stat()
            mark = (found.st_ino, found.st_mtime_ns, found.st_mode)
        except OSError:
            mark = None
        if mark is None or mark != self._mark:
            self._tokens = read_tokens(self._path)
            self._mark = mark
        return self._tokens
