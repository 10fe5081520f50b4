"""Where and as whom to connect: to our own administration's broker, one virtual host, by mutual TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import pika
from pika.credentials import ExternalCredentials, PlainCredentials

from broker.settings.model import KeyPair, Settings
from broker.trust.keys import fitting_certificate
from schemas.errors import SettingsError
from schemas.names import Party

HEARTBEAT_SECONDS = 15
CONNECT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Password:
    """A name and a password: for tests on a node without TLS; units log in by certificate."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Mutual TLS: the one authority that the broker's certificate must come from, our pair, and the broker's name in its certificate."""

    ca: Path
    pair: KeyPair
    server_name: str


@dataclass(frozen=True, slots=True)
class ConnectionTarget:
    """One virtual host of one broker, and how to log in there."""

    host: str
    port: int
    virtual_host: str
    login: Password | Certificate
    name: str = "panj"

    def parameters(self, purpose: str) -> pika.ConnectionParameters:
        """pika's parameters. Reads the key files anew, so that a renewed certificate is used from the next connection on.

        SettingsError `amqp-certificate-unusable` where they cannot be read.
        """
        return pika.ConnectionParameters(
            host=self.host,
            port=self.port,
            virtual_host=self.virtual_host,
            credentials=_credentials(self.login),
            ssl_options=_tls(self.login),
            heartbeat=HEARTBEAT_SECONDS,
            socket_timeout=CONNECT_SECONDS,
            stack_timeout=CONNECT_SECONDS,
            # While the broker blocks publishers (an alarm) the connection stays: the futures have a bound of their own.
            blocked_connection_timeout=None,
            client_properties={"connection_name": f"{self.name} {purpose}"},
        )


def target_of(settings: Settings, lane: str, unit: Party, pair: KeyPair) -> ConnectionTarget:
    """Our own broker's virtual host of a lane, as this unit."""
    broker = settings.broker
    login = Certificate(broker.ca, pair, broker.server_name or broker.host)
    return ConnectionTarget(broker.host, broker.port, lane, login, unit.unit)


def _credentials(login: Password | Certificate) -> ExternalCredentials | PlainCredentials:
    if isinstance(login, Password):
        return PlainCredentials(login.user, login.password)
    return ExternalCredentials()


def _tls(login: Password | Certificate) -> pika.SSLOptions | None:
    if isinstance(login, Password):
        return None
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(login.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(fitting_certificate(login.pair), login.pair.key)
    except (OSError, ssl.SSLError, SettingsError) as error:
        raise SettingsError(
            "amqp-certificate-unusable", f"the authority, certificate or key cannot be used: {error}", value=login.pair.certificate
        ) from None
    return pika.SSLOptions(context, login.server_name)
