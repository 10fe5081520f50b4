"""The certificate that a server shows, looked at through TLS without believing it: only to know when it runs out."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

from cryptography import x509

from broker.settings.model import KeyPair

SECONDS = 3.0
REMEMBERED_SECONDS = 600.0  # a look leaves a line in the server's log: `panj status --watch` does not look each two seconds

_seen: dict[tuple[str, int], tuple[float, x509.Certificate | None]] = {}
_lock = threading.Lock()


def served_certificate(host: str, port: int, server_name: str, pair: KeyPair | None = None) -> x509.Certificate | None:
    """The certificate that is shown there, or was within some minutes; None where none can be seen: nobody answers, or not by TLS.

    With `pair`, where this user may read it, we show our own: a server that speaks only TLS 1.2 shows its own to nobody else.
    """
    with _lock:
        at, found = _seen.get((host, port), (float("-inf"), None))
        if time.monotonic() - at < REMEMBERED_SECONDS:
            return found
    found = _look(host, port, server_name, pair)
    with _lock:
        _seen[host, port] = (time.monotonic(), found)
    return found


def _look(host: str, port: int, server_name: str, pair: KeyPair | None) -> x509.Certificate | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # an expired or wrong one is what we look for; nothing is said over this connection
    if pair is not None:
        with contextlib.suppress(OSError, ssl.SSLError):
            context.load_cert_chain(pair.certificate, pair.key)
    try:
        with socket.create_connection((host, port), SECONDS) as plain, context.wrap_socket(plain, server_hostname=server_name) as secure:
            der = secure.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der) if der else None
    except (OSError, ValueError):
        return None
