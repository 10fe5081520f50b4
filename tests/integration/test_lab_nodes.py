"""The laboratory's own promises: private nodes on loopback only, no client without a certificate, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from broker.trust.authority import create_authority
from deploy.lab.ports import answers
from deploy.lab.postgresql import PostgresNode
from deploy.lab.processes import is_running, wait_until_gone
from deploy.lab.rabbitmq import ADMIN, RabbitNode, TlsFiles
from deploy.lab.shared import RabbitAddress
from schemas.errors import UnavailableError
from schemas.names import Party

LOOPBACK = {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1 and ::1: Erlang's port mapper takes both


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that other users may pass through, as the server that does not run as root must."""
    with tempfile.TemporaryDirectory(prefix="panj-lab-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


@pytest.fixture(scope="module")
def tls(place: Path) -> TlsFiles:
    authority = create_authority(place / "pki", "tj")
    pair = authority.create_server("broker", ["localhost", "127.0.0.1"])
    authority.create_unit(Party("tj", "customs"))
    create_authority(place / "other-pki", "af").create_unit(Party("af", "customs"))
    return TlsFiles(ca=authority.anchor, certificate=pair.certificate, key=pair.key)


@pytest.fixture(scope="module")
def node(place: Path, tls: TlsFiles, rabbitmq_installed: None) -> Iterator[RabbitNode]:
    node = RabbitNode(place / "rabbitmq", "lab", tls, "a-password")
    node.start()
    yield node
    node.kill()


@pytest.fixture(scope="module")
def database(place: Path, postgresql_installed: None) -> Iterator[PostgresNode]:
    node = PostgresNode(place / "postgresql")
    node.start()
    yield node
    node.kill()
    node.stop()


def management(url: str, password: str) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/api", auth=(ADMIN, password), timeout=30, trust_env=False)


def shake_hands(port: int, tls: TlsFiles, pair: tuple[Path, Path] | None = None) -> bytes:
    """Connect as an AMQP client and give what the broker says first; nothing where it hangs up."""
    context = ssl.create_default_context(cafile=str(tls.ca))
    if pair:
        context.load_cert_chain(*map(str, pair))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as line,
        context.wrap_socket(line, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"AMQP\x00\x00\x09\x01")
        return secure.recv(512)


def listening_addresses(pids: list[int]) -> set[str]:
    """All addresses on which these processes listen, as /proc/net writes them."""
    sockets = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # some live for a moment only
            for file in Path(f"/proc/{pid}/fd").iterdir():
                target = os.readlink(file)
                if target.startswith("socket:["):
                    sockets.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def test_a_client_with_a_certificate_of_our_own_authority_may_log_in_by_it_and_by_nothing_else(node: RabbitNode, tls: TlsFiles) -> None:
    pki = tls.ca.parent
    said = shake_hands(node.amqps_port, tls, (pki / "tj-customs.pem", pki / "tj-customs.key"))
    assert b"EXTERNAL" in said
    assert b"PLAIN" not in said


def test_a_client_without_a_certificate_is_refused(node: RabbitNode, tls: TlsFiles) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake_hands(node.amqps_port, tls)


def test_a_client_with_a_certificate_of_another_authority_is_refused(node: RabbitNode, tls: TlsFiles, place: Path) -> None:
    other = place / "other-pki"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake_hands(node.amqps_port, tls, (other / "af-customs.pem", other / "af-customs.key"))


def test_the_broker_listens_on_loopback_only(node: RabbitNode) -> None:
    assert listening_addresses(node.pids) <= LOOPBACK


def test_the_database_listens_on_loopback_only_and_asks_for_a_password(database: PostgresNode) -> None:
    assert listening_addresses(database.pids) == {"0100007F"}
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host="127.0.0.1", port=database.port, user="panj", dbname="postgres")


def test_a_killed_broker_comes_back_with_what_it_had_on_disk(node: RabbitNode) -> None:
    with management(node.management_url, node.admin_password) as api:
        api.put("/vhosts/kept").raise_for_status()
    pids = node.pids
    node.kill()
    assert wait_until_gone(pids, 10)
    node.start()
    with management(node.management_url, node.admin_password) as api:
        assert api.get("/vhosts/kept").status_code == httpx.codes.OK


def test_a_killed_database_comes_back_with_what_was_committed(database: PostgresNode) -> None:
    url = database.create_database("kept").replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE declaration AS SELECT 7 AS number")
    database.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    database.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM declaration").fetchone() == (7,)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


OWNER = """
import sys, time
from pathlib import Path
from deploy.lab.postgresql import PostgresNode
from deploy.lab.rabbitmq import RabbitNode
place = Path(sys.argv[1])
nodes = RabbitNode(place / "rabbitmq", "owned", None, "a-password", plain=True), PostgresNode(place / "postgresql")
for node in nodes:
    node.start()
print(*[pid for node in nodes for pid in node.pids], flush=True)
time.sleep(600)
"""


@pytest.mark.usefixtures("rabbitmq_installed", "postgresql_installed")
def test_nothing_is_left_running_when_the_owner_is_killed() -> None:
    with tempfile.TemporaryDirectory(prefix="panj-lab-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)
        with subprocess.Popen([sys.executable, "-c", OWNER, directory], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
            assert owner.stdout is not None
            pids: list[int] = []
            while not pids:  # log lines come first, on the same stream
                words = owner.stdout.readline().split()
                pids = [int(word) for word in words] if words and all(word.isdigit() for word in words) else []
            assert is_running(pids[0])
            owner.send_signal(signal.SIGKILL)
        assert wait_until_gone(pids, 15)


def test_a_broker_that_cannot_start_says_why_and_leaves_nothing(place: Path, tls: TlsFiles, rabbitmq_installed: None) -> None:
    wrong = TlsFiles(ca=tls.ca, certificate=place / "missing.pem", key=tls.key)
    node = RabbitNode(place / "wrong", "wrong", wrong, "a-password")
    with pytest.raises(UnavailableError, match=r"ssl_options\.certfile invalid, file does not exist") as refused:
        node.start()
    assert refused.value.code == "lab-node-failed"
    assert node.pids == []


def test_each_test_has_a_virtual_host_of_its_own_on_the_shared_broker(rabbit_node: RabbitAddress, virtual_host: str) -> None:
    with management(rabbit_node.management_url, rabbit_node.password) as api:
        assert api.get(f"/queues/{virtual_host}").json() == []
    assert answers(rabbit_node.amqp_port)


def test_each_test_has_an_empty_database_of_its_own(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
