"""RabbitMQ's management API as it is used here: JSON over HTTP with bounded waits; its refusals become our errors. Knows no topology."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from broker.settings.model import Management
from schemas.errors import PanjError, SettingsError, UnavailableError

TIMEOUT_SECONDS = 15.0  # one answer: an import of some hundred things takes under a second
PATIENCE_SECONDS = 20.0  # a broker that is starting refuses connections for some seconds
_NOT_FOUND = 404


class ManagementApi:
    """A connection to the management API of our own broker. Close it, or use it as a context."""

    def __init__(self, management: Management, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._url = management.url.rstrip("/")
        self._patience_seconds = patience_seconds
        self._client = httpx.Client(
            base_url=f"{self._url}/api", auth=(management.user, _password(management)), timeout=TIMEOUT_SECONDS, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, *path: str, **query: str) -> Any:
        """Give what the API says of a place, such as `get("queues", "af")`."""
        return self._ask("GET", path, query=query).json()

    def put(self, *path: str, value: Mapping[str, Any]) -> None:
        """Make or change one thing."""
        self._ask("PUT", path, body=value)

    def post(self, *path: str, value: Mapping[str, Any]) -> None:
        """Hand over a document."""
        self._ask("POST", path, body=value)

    def delete(self, *path: str) -> None:
        """Remove one thing; what is gone already is no error."""
        self._ask("DELETE", path, missing_is_fine=True)

    def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        missing_is_fine: bool = False,
    ) -> httpx.Response:
        place = "/" + "/".join(quote(part, safe="") for part in path)
        try:
            for attempt in self._retrying():
                with attempt:
                    answer = self._client.request(method, place, params=query or None, json=body)
                    if answer.status_code in (502, 503, 504):  # a proxy before it, or the node is stopping or starting
                        raise httpx.ConnectError(f"HTTP {answer.status_code}")
        except httpx.TransportError as error:
            said = str(error) or type(error).__name__
            text = f"the broker's management API does not answer: {said}: is the broker running, and rabbitmq_management enabled?"
            raise UnavailableError("topology-management-unavailable", text, field=self._url) from error
        if answer.is_success or (missing_is_fine and answer.status_code == _NOT_FOUND):
            return answer
        raise self._refusal(method, place, answer)

    def _retrying(self) -> Retrying:
        """Try again where the connection was refused or cut before an answer: every request of ours may be repeated."""
        return Retrying(
            retry=retry_if_exception_type((httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError)),
            stop=stop_after_delay(self._patience_seconds),
            wait=wait_exponential(multiplier=0.1, max=1.0),
            reraise=True,
        )

    def _refusal(self, method: str, place: str, answer: httpx.Response) -> PanjError:
        if answer.status_code in (401, 403):
            text = (
                "the management API refuses this user: it needs the tag administrator, and its password in broker.management.password_file"
            )
            return SettingsError("topology-management-login", text, field=self._url)
        try:
            reason = answer.json()["reason"]
        except (ValueError, KeyError, TypeError):
            reason = answer.text
        said = " ".join(str(reason).split())[:400] or f"HTTP {answer.status_code}"
        return SettingsError("topology-refused", f"the broker refuses {method} {place}: {said}", field=self._url)


def _password(management: Management) -> str:
    key = "broker.management.password_file"
    try:
        password = management.password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not text"
        text = f"cannot read {management.password_file}: {said}: it holds the password of {management.user!r}"
        raise SettingsError("topology-password-unreadable", text, field=key) from None
    if not password:
        raise SettingsError("topology-password-unreadable", f"{management.password_file} is empty", field=key)
    return password
