"""What recovered events that came encrypted are about, told under encryption: the key that goes, and the names that come back under it.

The cryptography: `broker.trust.sealing`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from broker.trust.sealing import DecryptionKeys, Recipient, encrypt, seal_reply, unseal_reply
from schemas.control import Recovered, RecoveredName, RecoveryAnswer
from schemas.errors import ContentError, UnavailableError
from schemas.sealed import REPLY_KEY_BYTES

_NAMES = TypeAdapter(tuple[RecoveredName, ...])
_CONTENT_TYPE = "application/octet-stream"


def new_reply_key(recipient: Recipient) -> tuple[bytes, str]:
    """A fresh key, and the JWE that takes it to the house."""
    key = secrets.token_bytes(REPLY_KEY_BYTES)
    return key, encrypt(key, _CONTENT_TYPE, recipient)


def read_reply_key(sealed: str | None, keys: DecryptionKeys) -> bytes | None:
    """The key that a post chose; None where it chose none, or where it is none that this house can read."""
    if sealed is None:
        return None
    try:
        key, _ = keys.decrypt(sealed)
    except (ContentError, UnavailableError):
        return None
    return key if len(key) == REPLY_KEY_BYTES else None


def seal_names(names: Sequence[RecoveredName], reply_key: bytes) -> str:
    """Encrypt names to the post that asked."""
    return seal_reply(_NAMES.dump_json(tuple(names), exclude_none=True), reply_key)


def with_names(answer: RecoveryAnswer, reply_key: bytes | None) -> RecoveryAnswer:
    """The answer with what its encrypted events are about, as far as that can be read."""
    plaintext = None if answer.names is None or reply_key is None else unseal_reply(answer.names, reply_key)
    if plaintext is None:
        return answer
    try:
        names = {name.id: name for name in _NAMES.validate_json(plaintext)}
    except ValidationError:
        return answer
    return answer.model_copy(update={"entries": tuple(_named(entry, names.get(entry.id)) for entry in answer.entries)})


def _named(entry: Recovered, name: RecoveredName | None) -> Recovered:
    if name is None:
        return entry
    update = {"reference": name.reference, "version": name.version, "content": name.content}
    return entry.model_copy(update=update | ({"problems": name.problems, "sealed": None} if name.problems else {}))
