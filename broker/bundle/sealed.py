"""A sealed event's data: from a declaration to what only one customs house can read, and back. The cryptography: `broker.trust.sealing`."""

from __future__ import annotations

import secrets
from typing import Any

from broker.bundle.lines import GZIP, compress, expand
from broker.trust.sealing import DecryptionKeys, Recipient, encrypt
from broker.trust.signing import b64url, unb64url
from schemas.errors import ContentError, DistrustError
from schemas.event import Event
from schemas.sealed import REPLY_KEY_BYTES, SEALED_SCHEMA, Plaintext, plaintext_digest, read_plaintext, read_sealed, write_plaintext

_CONTENT_TYPES = {None: "application/json", GZIP: "application/json+gzip"}
_ENCODINGS = {content_type: encoding for encoding, content_type in _CONTENT_TYPES.items()}


def is_sealed(event: Event) -> bool:
    """Whether an event's data is under encryption."""
    return event.dataschema == SEALED_SCHEMA


def seal(data: dict[str, Any], salt: str, recipient: Recipient) -> tuple[dict[str, Any], bytes]:
    """Encrypt an event's data; gives what stands in its `data` instead, and the key under which reasons will come back."""
    reply_key = secrets.token_bytes(REPLY_KEY_BYTES)
    plaintext = write_plaintext(data, b64url(reply_key))
    packed, encoding = compress(plaintext)
    token = encrypt(packed, _CONTENT_TYPES[encoding], recipient)
    return {"jwe": token, "digest": b64url(plaintext_digest(salt, plaintext))}, reply_key


def unseal(event: Event, keys: DecryptionKeys) -> Plaintext:
    """Give what a sealed event holds; raises what `decrypted` does, and ContentError `sealed-broken` otherwise."""
    data, reply = read_plaintext(decrypted(event, keys))
    reply_key = unb64url(reply)
    if reply_key is None or len(reply_key) != REPLY_KEY_BYTES:
        raise ContentError("sealed-broken", f"reply holds {REPLY_KEY_BYTES} bytes in base64url", field="reply")
    return Plaintext(data, reply_key)


def decrypted(event: Event, keys: DecryptionKeys) -> bytes:
    """The exact plaintext of a sealed event: what its sender signed.

    UnavailableError `sealed-key-unknown` where none of our keys is meant; ContentError `sealed-broken` where it does not decrypt, or is
    not what was signed.
    """
    sealed = read_sealed(event.data)
    packed, content_type = keys.decrypt(sealed.jwe)
    if content_type not in _ENCODINGS:
        raise ContentError("sealed-broken", "the plaintext is JSON, or gzip of it", field="data.jwe", value=content_type)
    try:
        plaintext = expand(packed, _ENCODINGS[content_type])
    except DistrustError as error:
        raise ContentError("sealed-broken", f"the plaintext cannot be unpacked: {error}"[:500], field="data.jwe") from None
    if b64url(plaintext_digest(event.salt, plaintext)) != sealed.digest:
        raise ContentError("sealed-broken", "the plaintext is not the one whose digest was signed", field="data.digest")
    return plaintext
