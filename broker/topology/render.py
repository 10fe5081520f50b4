"""What an operator may import instead of granting access to the management API: definitions and a configuration. Pure text."""

from __future__ import annotations

import json

from broker.settings.model import Settings
from broker.topology.definitions import to_definitions
from broker.topology.derive import derive
from broker.topology.model import Permission
from schemas.limits import BODY_BYTES

PLUGINS = ("rabbitmq_auth_mechanism_ssl", "rabbitmq_federation", "rabbitmq_federation_management", "rabbitmq_management")


def render(settings: Settings) -> dict[str, str]:
    """Give the files by name. The administrator's own rights are left out: that user is not derived, and an import must not need it."""
    administrator = settings.broker.management.user
    things = [thing for thing in derive(settings).things() if not (isinstance(thing, Permission) and thing.user == administrator)]
    definitions = {name: entries for name, entries in to_definitions(things).items() if entries}
    return {
        "definitions.json": json.dumps(definitions, indent=2, ensure_ascii=False) + "\n",
        "rabbitmq.conf": _configuration(settings),
        "enabled_plugins": f"[{','.join(PLUGINS)}].\n",
    }


def _configuration(settings: Settings) -> str:
    broker = settings.broker
    return f"""\
# RabbitMQ for Panj ({settings.country}, {settings.environment}): a fragment, made by "panj topology render".
# Only mutual TLS, and only our own authority: a partner's link has a certificate that our authority issued.
listeners.tcp = none
listeners.ssl.default = {broker.port}
ssl_options.cacertfile = {broker.ca}
ssl_options.certfile = /etc/rabbitmq/panj/broker.pem
ssl_options.keyfile = /etc/rabbitmq/panj/broker.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2

# Who logs in is the common name of the certificate; there is no other way in.
ssl_cert_login_from = common_name
auth_mechanisms.1 = EXTERNAL

# The protocol's limit of a body. By default a partner's broker may send 128 MB in one message, and a consumer holds a hundred of them.
max_message_size = {BODY_BYTES}

# The management API stays on this machine: the panj command reaches it at {broker.management.url}.
management.tcp.ip = 127.0.0.1
management.tcp.port = 15672

# Import once: rabbitmqctl import_definitions definitions.json
"""
