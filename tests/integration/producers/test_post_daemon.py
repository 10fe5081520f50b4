"""The post's daemon as a process of its own, its broker away: what it accepts stays accepted, however it ends."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from broker.trust.authority import create_authority
from schemas.names import Party
from tests.unit.producers.examples import EXPORT, export

SETTINGS = """\
country = "tj"
environment = "test"
time_zone = "Asia/Dushanbe"

[broker]
host = "127.0.0.1"
port = 1
ca = "pki/ca.pem"
cluster_name = "tj"
management = { url = "http://127.0.0.1:1", password_file = "password" }

[posts.panji-poyon]
outbox = "sqlite:///var/outbox.sqlite"
watch = "var/declarations"
certificate = "pki/tj-panji-poyon.pem"
key = "pki/tj-panji-poyon.key"

[partners.af]
anchor = "af/ca.pem"
crls = "af"
loads = ["customs.export-declaration.v1"]

[partners.af.link]
host = "127.0.0.1"
ca = "af/ca.pem"
certificate = "pki/link.pem"
key = "pki/link.key"

[[partners.af.releases]]
type = "customs.export-declaration.v1"
fields = ["*"]
purpose = "customs-control"
legal_basis = "bilateral protocol; WTO TFA Article 12"
"""


class PostProcess:
    """`panj post run` and what lies around it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.watched = directory / "var" / "declarations"
        self.config = directory / "exchange.toml"
        self.log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "broker.operations.cli", "post", *words, "--config", str(self.config)]

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command("run"), stderr=log, stdout=log)

    def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(20)

    def put(self, numbers: range) -> None:
        self.watched.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            text = json.dumps({"type": EXPORT, "declaration": export(str(number))})
            (self.watched / f"{number}.json").write_text(text, "utf-8")

    def accepted(self) -> list[str]:
        """The references in the outbox, by sequence; fails where a sequence has a hole or stands twice."""
        file = self.directory / "var" / "outbox.sqlite"
        if not file.exists():
            return []
        with closing(sqlite3.connect(file)) as connection:
            try:
                rows = connection.execute("SELECT sequence, reference FROM outbox ORDER BY sequence").fetchall()
            except sqlite3.OperationalError:  # its tables are being made
                return []
        assert [sequence for sequence, _ in rows] == list(range(1, len(rows) + 1))
        return [reference for _, reference in rows]

    def wait_until(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while not true():
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.02)

    def waiting_files(self) -> int:
        return sum(entry.is_file() for entry in os.scandir(self.watched))


@pytest.fixture
def post(tmp_path: Path) -> Iterator[PostProcess]:
    authority = create_authority(tmp_path / "pki", "tj")
    authority.create_unit(Party("tj", "panji-poyon"))
    create_authority(tmp_path / "af", "af")
    (tmp_path / "exchange.toml").write_text(SETTINGS)
    process = PostProcess(tmp_path)
    yield process
    if process._process is not None:
        process.end(signal.SIGKILL)


def test_the_post_takes_files_without_a_broker_and_stops_at_sigterm_with_0(post: PostProcess) -> None:
    post.put(range(20))
    (post.watched / "bad.json").write_text(json.dumps({"type": EXPORT, "declaration": {}}))
    post.start()
    post.wait_until(lambda: post.waiting_files() == 0)
    begun = time.monotonic()
    assert post.end(signal.SIGTERM) == 0
    assert time.monotonic() - begun < 10
    assert len(post.accepted()) == 20
    assert len(list((post.watched / "taken").rglob("*.json"))) == 20
    assert (post.watched / "rejected" / "bad.json.reason.json").exists()


def test_killed_in_the_middle_the_post_goes_on_where_it_was(post: PostProcess) -> None:
    post.put(range(3_000))
    for share in (0.2, 0.5, 0.8):
        post.start()
        post.wait_until(lambda share=share: len(post.accepted()) > 3_000 * share)  # type: ignore[misc]
        post.end(signal.SIGKILL)
    post.start()
    post.wait_until(lambda: post.waiting_files() == 0)
    assert post.end(signal.SIGTERM) == 0
    assert len(set(post.accepted())) == len(post.accepted()) == 3_000
    assert len(list((post.watched / "taken").rglob("*.json"))) == 3_000


def test_sigterm_in_the_middle_of_a_backlog_finishes_the_batch_and_loses_nothing(post: PostProcess) -> None:
    post.put(range(4_000))
    post.start()
    post.wait_until(lambda: len(post.accepted()) > 500)
    assert post.end(signal.SIGTERM) == 0
    accepted = len(post.accepted())
    assert accepted == len(list((post.watched / "taken").rglob("*.json")))
    post.start()
    post.wait_until(lambda: post.waiting_files() == 0)
    assert post.end(signal.SIGTERM) == 0
    assert len(post.accepted()) == 4_000


def test_sending_without_a_broker_tells_that_not_all_was_in_time_and_keeps_it(post: PostProcess) -> None:
    post.put(range(1))
    file = str(post.watched / "0.json")
    done = subprocess.run(post.command("send", file, "--wait", "--timeout", "0.5", "--json"), capture_output=True, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    (row,) = json.loads(done.stdout)["declarations"]
    assert (row["fate"], row["reference"]) == ("ACCEPTED", "TJ/TJ105000/2026/0")
    assert post.accepted() == ["TJ/TJ105000/2026/0"]


def test_wrong_arguments_and_settings_are_told_in_a_line(post: PostProcess) -> None:
    for words, code in ((("run", "--post", "nowhere"), "post-unknown"), (("send", "missing.json"), "file-unreadable")):
        done = subprocess.run(post.command(*words), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (1, 2)
        assert code in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    post.config.write_text(SETTINGS.replace('fields = ["*"]', 'fields = ["item.hs_code"]'))
    done = subprocess.run(post.command("run"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "release-field-unknown" in done.stderr
    assert "item.hs_code" in done.stderr


def test_below_the_reserve_of_disk_files_stay_send_ends_with_3_and_status_says_why(post: PostProcess) -> None:
    post.config.write_text(SETTINGS + "\n[relay]\noutbox_min_free_mb = 1000000\n")
    post.put(range(5))
    post.start()
    post.wait_until(lambda: "outbox-disk-low" in post.log.read_text())
    assert post.waiting_files() == 5
    done = subprocess.run(post.command("send", str(post.watched / "0.json")), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "outbox-disk-low" in done.stderr) == (3, True), done.stderr
    status = subprocess.run(post.command("status", "--json"), capture_output=True, text=True, timeout=60, check=False)
    assert status.returncode == 1, status.stderr
    readings = {reading["name"]: reading for reading in json.loads(status.stdout)["readings"]}
    assert readings["disk free for the outbox"]["attention"] == "act"
    assert readings["waits because"]["value"] == "broker-away"
    assert readings["files waiting"]["value"] == 5
    assert post.end(signal.SIGTERM) == 0
    post.config.write_text(SETTINGS)
    post.start()
    post.wait_until(lambda: post.waiting_files() == 0)
    assert len(post.accepted()) == 5
