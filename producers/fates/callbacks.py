"""Fates as HTTP call-backs, signed as Standard Webhooks says (standardwebhooks.com: HMAC-SHA256 over id, time and body)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import httpx

from broker.outbox.telling import Telling
from broker.settings.secret_files import read_secret
from producers.fates.message import bytes_of
from producers.fates.receiving import NotTaken, Reply, Taken
from schemas.errors import SettingsError, shown

AT_ONCE = 64
CONNECTIONS = 8
TIMEOUT_SECONDS = 10.0  # one call: a receiver keeps what it is told and answers; work comes after
SECRET_PREFIX = "whsec_"  # noqa: S105 - how such secrets begin, and no secret
_SECRET_BYTES = (24, 64)
_WAIT_SECONDS = 3_600.0  # the longest that a receiver may ask us to wait
_GONE = 410


class CallbackReceiver:
    """A URL of the national system. A call is done when it is answered 2xx; redirects are not followed."""

    at_once = AT_ONCE

    def __init__(self, url: str, secret: Path, post: str, clock: Callable[[], datetime], ca: Path | None = None) -> None:
        self._url = url
        self._post = post
        self._clock = clock
        self._secrets = read_secrets(secret)
        self._client = httpx.Client(
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
            verify=_trust(ca) if ca is not None else True,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            headers={"Content-Type": "application/json", "User-Agent": "panj"},
        )
        self._pool = ThreadPoolExecutor(CONNECTIONS, "call-back")

    def tell(self, tellings: Sequence[Telling]) -> list[Reply]:
        """Call for each, several at the same time."""
        return list(self._pool.map(self._call, tellings))

    def close(self) -> None:
        """End the connections."""
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def _call(self, telling: Telling) -> Reply:
        body = bytes_of(telling, self._post)
        try:
            answer = self._client.post(self._url, content=body, headers=signed(self._secrets, telling.name, self._clock(), body))
        except httpx.TimeoutException:
            return NotTaken(f"no answer within {TIMEOUT_SECONDS:.0f} s")
        except httpx.TransportError as error:
            return NotTaken(f"{type(error).__name__}: {shown(error)}", away=True)
        if answer.is_success:
            return Taken()
        because = f"it answers HTTP {answer.status_code}"
        if answer.status_code == _GONE:
            return NotTaken(because, stopped=True)
        return NotTaken(because, away=answer.status_code in (429, 503), wait_seconds=_asked_to_wait(answer))


def signed(secrets: Sequence[bytes], name: str, now: datetime, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks; a signature by each secret, so that one can be replaced by another in use."""
    at = str(int(now.timestamp()))
    content = f"{name}.{at}.".encode() + body
    signatures = [base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode() for secret in secrets]
    return {"webhook-id": name, "webhook-timestamp": at, "webhook-signature": " ".join(f"v1,{each}" for each in signatures)}


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """Read the secrets of a file, one a line, `whsec_` and base64 of 24 to 64 bytes; SettingsError `fates-secret` for anything else."""
    secrets = []
    for line in read_secret(path).decode("ascii", "replace").split():
        try:
            secret = base64.b64decode(line.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            secret = b""
        if not _SECRET_BYTES[0] <= len(secret) <= _SECRET_BYTES[1]:
            text = 'each line is whsec_ and base64 of 24 to 64 bytes: make one with: echo "whsec_$(openssl rand -base64 32)"'
            raise SettingsError("fates-secret", text, field=str(path))
        secrets.append(secret)
    if not secrets:
        raise SettingsError("fates-secret", "the file is empty", field=str(path))
    return tuple(secrets)


def _asked_to_wait(answer: httpx.Response) -> float | None:
    said = answer.headers.get("retry-after", "")
    return min(float(said), _WAIT_SECONDS) if said.isdecimal() else None


def _trust(ca: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError("certificate-unreadable", f"not certificates in PEM: {error.strerror or error}", field=str(ca)) from None
