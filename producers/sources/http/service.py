"""Listening for the HTTP intake: its socket, TLS, and a server that ends when the daemon does. One thread of the post's daemon."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable

import structlog
import uvicorn

from broker.outbox.store import Outbox
from broker.settings.model import Settings
from broker.settings.secret_files import read_secret
from broker.settings.sources import HttpIntake
from producers.formats.registry import Reader
from producers.intake import Intake
from producers.sources.http.application import Counter
from producers.sources.http.connections import BoundedConnection
from producers.sources.http.reception import Reception
from producers.sources.http.tokens import Tokens
from schemas.errors import SettingsError, UnavailableError

LOOK_SECONDS = 0.2
FINISH_SECONDS = 5  # what is in hand at the end is finished within this
CONNECTIONS_PER_REQUEST = 8  # open connections at most, for each request that may be in flight
HEADER_BYTES = 64 * 1024

log = structlog.get_logger()

_Marks = tuple[tuple[int, int] | None, ...]


class HttpService:
    """The HTTP intake of one post. Made at the daemon's start: SettingsError where its certificate or tokens are wrong."""

    def __init__(self, settings: Settings, name: str, outbox: Outbox, reader: Reader, on_accepted: Callable[[], None]) -> None:
        found = settings.posts[name].http
        if found is None:
            raise SettingsError("settings-key-missing", "this post takes nothing by HTTP", field=f"posts.{name}.http")
        self._settings = found
        tokens = None if found.tokens is None else Tokens(found.tokens)
        if tokens is not None:
            tokens.current()
        self._tls = tls_of(found)
        self._marks = _marks_of(found)
        reception = Reception(Intake(settings, settings.post_party(name), outbox), outbox, reader, on_accepted)
        limits = {"max_body_bytes": found.max_body_mb * 1024 * 1024, "max_in_flight": found.max_in_flight}
        self._counter = Counter(reception, tokens, **limits)
        self.port: int | None = None

    def run(self, stop: threading.Event) -> None:
        """Listen until `stop` is set. UnavailableError `http-listen` where the address is taken or not ours."""
        with self._listening() as listener:
            self.port = listener.getsockname()[1]
            log.info("http.listening", host=self._settings.host, port=self.port, tls=self._tls is not None)
            server = uvicorn.Server(self._configuration())
            asyncio.run(self._serve(server, listener, stop))
        self.port = None

    def _listening(self) -> socket.socket:
        found = self._settings
        family = socket.AF_INET6 if ":" in found.host else socket.AF_INET
        try:
            listener = socket.create_server((found.host, found.port), family=family)
        except OSError as error:
            text = f"cannot listen there: {error.strerror}: is another program using the port?"
            raise UnavailableError("http-listen", text, field="http.listen", value=found.listen) from None
        # asyncio does so itself only for sockets that were made with IPPROTO_TCP; without it each answer waits 40 ms for the client's
        # delayed acknowledgement (RFC 896; RFC 1122, section 4.2.3.2). Accepted connections inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener

    def _configuration(self) -> uvicorn.Config:
        tls = self._tls
        return uvicorn.Config(
            self._counter.application(),
            http=BoundedConnection,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=self._settings.max_in_flight * CONNECTIONS_PER_REQUEST,
            timeout_graceful_shutdown=FINISH_SECONDS,
            h11_max_incomplete_event_size=HEADER_BYTES,
            ssl_context_factory=None if tls is None else (lambda _config, _default: tls),
        )

    async def _serve(self, server: uvicorn.Server, listener: socket.socket, stop: threading.Event) -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not (stop.is_set() or serving.done()):
            await asyncio.sleep(LOOK_SECONDS)
            self._renew()
        server.should_exit = True
        await serving

    def _renew(self) -> None:
        """Take up a renewed certificate: for whoever connects from now on."""
        found = self._settings
        if self._tls is None or found.certificate is None or (marks := _marks_of(found)) == self._marks:
            return
        self._marks = marks
        try:
            _load(self._tls, found)
        except SettingsError as error:  # half renewed: the pair that we have goes on
            log.warning("http.certificate_unusable", code=error.code, reason=str(error))
        else:
            log.info("http.certificate_renewed", certificate=str(found.certificate))


def tls_of(found: HttpIntake) -> ssl.SSLContext | None:
    """How it speaks TLS; None where it does not. SettingsError where its files are wrong."""
    if found.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, found)
    if found.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(found.client_ca)
        except (OSError, ssl.SSLError) as error:
            text = f"cannot be read as certificates in PEM: {error.strerror or error}"
            raise SettingsError("certificate-unreadable", text, field=str(found.client_ca)) from None
    return context


def _load(context: ssl.SSLContext, found: HttpIntake) -> None:
    if found.certificate is None or found.key is None:
        return
    read_secret(found.key)
    try:
        context.load_cert_chain(found.certificate, found.key)
    except (OSError, ssl.SSLError) as error:
        text = f"the certificate and its key cannot be used together: {error.strerror or error}"
        raise SettingsError("key-mismatch", text, field=str(found.certificate)) from None


def _marks_of(found: HttpIntake) -> _Marks:
    marks: list[tuple[int, int] | None] = []
    for path in (found.certificate, found.key):
        try:
            status = path.stat() if path is not None else None
        except OSError:
            status = None
        marks.append(None if status is None else (status.st_ino, status.st_mtime_ns))
    return tuple(marks)
