"""A private RabbitMQ node: Debian's server script with everything of its own (home, cookie, epmd, database, log), on loopback only.

Never a system service, never the packaged wrapper (it switches user). What is declared on the node is `broker.topology`'s business.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.lab.ports import LOOPBACK, answers, free_port
from deploy.lab.processes import Process, wait_until_ready
from schemas.errors import UnavailableError
from schemas.limits import BODY_BYTES

ADMIN = "panj-admin"
PLUGINS = ("rabbitmq_management", "rabbitmq_federation", "rabbitmq_federation_management", "rabbitmq_auth_mechanism_ssl")
# The script of the package itself; /usr/sbin/rabbitmq-server is a wrapper that switches to the user rabbitmq.
_SERVER_SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/local/lib/rabbitmq/bin/rabbitmq-server")
_CONTROL_SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmqctl", "/usr/local/lib/rabbitmq/bin/rabbitmqctl")
_EPMD_PROGRAMS = ("/usr/bin/epmd", "/usr/local/bin/epmd")
_START_SECONDS = 90.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a broker shows and trusts, as PEM files: its own certificate and key, and the one authority it accepts clients from."""

    ca: Path
    certificate: Path
    key: Path


def installed() -> bool:
    """Say whether RabbitMQ's server and Erlang's port mapper are on this machine."""
    return _first(_SERVER_SCRIPTS) is not None and _first(_EPMD_PROGRAMS) is not None


class RabbitNode:
    """One RabbitMQ node in `directory`, with the management user `panj-admin`.

    With `tls` it has a listener that asks every client for a certificate of that one authority and logs it in by its common name
    (SASL EXTERNAL). `plain` adds a listener without TLS where passwords are taken: for tests only. Measured on 2 cores with RabbitMQ
    3.10.8: two nodes side by side are up in 10 s, again after a kill in 5 s, at 155 MB each; `stop` takes 6 s, `kill` none.
    """

    def __init__(self, directory: Path, name: str, tls: TlsFiles | None, admin_password: str, plain: bool = False) -> None:
        if tls is None and not plain:
            raise ValueError("a node needs TLS files, or plain=True")
        self.directory = directory
        self.name = name
        self.admin_password = admin_password
        self.amqps_port = free_port() if tls else 0
        self.amqp_port = free_port() if plain else 0
        self.start_seconds = 0.0
        self._tls = tls
        self._management_port = free_port()
        self._distribution_port = free_port()
        self._epmd_port = free_port()
        self._server: Process | None = None
        self._epmd: Process | None = None

    @property
    def management_url(self) -> str:
        """Where its management API answers."""
        return f"http://{LOOPBACK}:{self._management_port}"

    @property
    def pid(self) -> int:
        """The process id of its Erlang machine; 0 while it is not running."""
        return self._server.pid if self._server else 0

    @property
    def pids(self) -> list[int]:
        """All its processes: the Erlang machine, what that started, and the port mapper."""
        children = [child for child in (self._server, self._epmd) if child]
        return [pid for child in children for pid in (child.pid, *child.descendants())]

    @property
    def log(self) -> Path:
        """Its log file."""
        return self.directory / "log" / "rabbitmq.log"

    def rss_bytes(self) -> int:
        """Resident memory of its Erlang machine, in bytes."""
        return self._server.rss_bytes() if self._server else 0

    def cpu_seconds(self) -> float:
        """What its Erlang machine used of a processor since it was started, in seconds."""
        return self._server.cpu_seconds() if self._server else 0.0

    def start(self) -> None:
        """Start it and wait until it answers. Raises `UnavailableError` with the end of its log where it does not."""
        script, epmd = _first(_SERVER_SCRIPTS), _first(_EPMD_PROGRAMS)
        if script is None or epmd is None:
            raise UnavailableError("lab-program-missing", 'RabbitMQ is not installed: run "make packages", or install rabbitmq-server')
        if self._server is not None:
            raise RuntimeError(f"the node {self.name} is already started")
        begun = time.monotonic()
        self._write_files()
        output = self.directory / "log" / "output.log"
        # In the foreground and started first, so that it is our child with a pid we know; else the node would start a daemon of its own.
        self._epmd = Process([epmd, "-port", str(self._epmd_port), "-address", LOOPBACK], log=output, environment=self._environment())
        try:
            wait_until_ready(f"the port mapper of {self.name}", self._epmd, lambda: answers(self._epmd_port), 30, [output])
            # Started in its own folder: Mnesia leaves a core file in the current one when it dies badly.
            self._server = Process([script], log=output, environment=self._environment(), directory=self.directory)
            wait_until_ready(f"the broker {self.name}", self._server, self._ready, _START_SECONDS, [self.log, output])
        except BaseException:
            self.kill()
            raise
        self.start_seconds = time.monotonic() - begun

    def stop(self) -> None:
        """End it in good order within 30 s, else with SIGKILL; does nothing where it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would. Its files stay: `start` brings it up with what was on disk."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again, on the same ports."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Remove its database, as a lost disk would: every queue, message and user. Only while it does not run."""
        if self._server is not None:
            raise RuntimeError(f"the node {self.name} is running")
        shutil.rmtree(self.directory / "database")

    def control(self, *words: str) -> None:
        """Have `rabbitmqctl` do something on the running node, in about 2 s; RuntimeError with what it says where it refuses."""
        script = _first(_CONTROL_SCRIPTS)
        if script is None:
            raise UnavailableError("lab-program-missing", 'rabbitmqctl is not installed: run "make packages", or install rabbitmq-server')
        done = subprocess.run([script, *words], check=False, capture_output=True, text=True, env=self._environment(), timeout=60)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {words[0]}: {(done.stderr or done.stdout).strip()[-350:]}")

    def _end(self, number: signal.Signals) -> None:
        server, self._server = self._server, None
        epmd, self._epmd = self._epmd, None
        if server:
            server.terminate(_STOP_SECONDS, number)
        if epmd:
            epmd.terminate(5)

    def _ready(self) -> bool:
        """Listeners open last in a node's start, after the management plugin; both must be there."""
        ports = [port for port in (self.amqps_port, self.amqp_port) if port]
        if not all(answers(port) for port in ports):
            return False
        try:
            answer = httpx.get(f"{self.management_url}/api/overview", auth=(ADMIN, self.admin_password), timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    def _write_files(self) -> None:
        """Lay out home, cookie, configuration and plugins; again at every start, so that a renewed certificate is taken."""
        for folder in ("home", "log", "database", "generated"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        cookie = self.directory / "home" / ".erlang.cookie"
        if not cookie.exists():
            _write_private(cookie, secrets.token_hex(32))
            cookie.chmod(0o400)  # Erlang refuses a cookie that others can read
        _write_private(self.directory / "rabbitmq.conf", self._configuration())
        _write_private(self.directory / "enabled_plugins", f"[{','.join(PLUGINS)}].\n")

    def _configuration(self) -> str:
        lines = [
            "listeners.tcp = none" if not self.amqp_port else f"listeners.tcp.1 = {LOOPBACK}:{self.amqp_port}",
            f"default_user = {ADMIN}",
            f"default_pass = {self.admin_password}",
            "default_user_tags.administrator = true",
            f"management.tcp.ip = {LOOPBACK}",
            f"management.tcp.port = {self._management_port}",
            "disk_free_limit.absolute = 50MB",
            f"max_message_size = {BODY_BYTES}",  # a partner's broker sends what it likes: by default 128 MB each, a hundred at a time
            # Ra keeps what is in its write-ahead log in memory too, 512 MB of it by default; a laboratory shares one machine.
            "raft.wal_max_size_bytes = 67108864",
            "log.file.level = info",
            "log.console = false",
        ]
        mechanisms = ["PLAIN"] if self.amqp_port else []
        if self._tls:
            mechanisms.insert(0, "EXTERNAL")
            lines += [
                f"listeners.ssl.1 = {LOOPBACK}:{self.amqps_port}",
                f"ssl_options.cacertfile = {self._tls.ca}",
                f"ssl_options.certfile = {self._tls.certificate}",
                f"ssl_options.keyfile = {self._tls.key}",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = true",
                "ssl_options.versions.1 = tlsv1.3",
                "ssl_options.versions.2 = tlsv1.2",
                "ssl_options.depth = 2",  # a leaf below two intermediates, as the protocol allows
                "ssl_cert_login_from = common_name",
            ]
        lines += [f"auth_mechanisms.{number} = {mechanism}" for number, mechanism in enumerate(mechanisms, start=1)]
        return "\n".join(lines) + "\n"

    def _environment(self) -> dict[str, str]:
        """Give the whole environment of the node: nothing of ours is inherited, least of all another node's RABBITMQ_… settings."""
        place = self.directory
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(place / "home"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_CRASH_DUMP": str(place / "log" / "erl_crash.dump"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",  # else /etc/rabbitmq/rabbitmq-env.conf would be read
            "RABBITMQ_NODENAME": f"panj-{self.name}@localhost",
            "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(place / "advanced.config"),  # not there; else the one in /etc/rabbitmq would be read
            "RABBITMQ_GENERATED_CONFIG_DIR": str(place / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(place / "database"),
            "RABBITMQ_LOG_BASE": str(place / "log"),
            "RABBITMQ_LOGS": str(self.log),
            "RABBITMQ_PID_FILE": str(place / "pid"),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            # Makes the script become the Erlang machine instead of waiting beside it: the pid that we start is the node's own.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +SDio 4 +sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1} "
            # Renewed certificate and key files are read again after so many milliseconds; Erlang's default is two minutes.
            "-ssl ssl_pem_cache_clean 1000",
        }


def _first(paths: tuple[str, ...]) -> str | None:
    return next((path for path in paths if Path(path).is_file()), None)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
