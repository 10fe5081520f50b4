"""Faults of whole databases: the receiver's, or the sender's outbox, is restored from a backup and has forgotten what came after it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

from psycopg import sql

from tests.faults.fault import HOUSE, POST, RECEIVING, Breach, Control, Fault
from tests.faults.scene import Scene

DATABASE, BACKUP = f"customs_{RECEIVING}", f"backup_{RECEIVING}"


def _receiver_restored(scene: Scene) -> None:
    """What it loaded and receipted after the backup is settled at the posts, and gone from the house."""
    scene.settles(10)
    scene.stop(HOUSE)
    _copy_database(scene, DATABASE, BACKUP)
    scene.start(HOUSE)
    scene.wave.drop(100)
    scene.go_on(2, 5, 60)
    scene.settles(50)
    scene.stop(HOUSE)
    _copy_database(scene, BACKUP, DATABASE)
    scene.start(HOUSE)


def _copy_database(scene: Scene, source: str, target: str) -> None:
    with scene.admin("postgres") as connection:
        for name in (source, target):
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(target)))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(target), sql.Identifier(source)))


def _sender_restored(scene: Scene) -> None:
    """As the operator's page has it: the backup is put back, the post asks the houses, and what `taken/` holds is put in again."""
    scene.settles(10)
    backup = scene.lab.directory / "outbox.backup"
    with closing(sqlite3.connect(scene.outbox_file, timeout=30)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    scene.wave.drop(100)
    scene.go_on(2, 5, 60)
    scene.settles(50)
    scene.wave.drop(50)
    scene.kill(POST)
    for path in scene.outbox_file.parent.glob("outbox.sqlite*"):
        if path.suffix not in (".begun", ".reached"):
            path.unlink()
    backup.replace(scene.outbox_file)
    scene.start(POST)
    time.sleep(1)
    scene.recover_post()
    scene.put_in_again()


FAULTS = (
    Fault(
        "receiver-restored",
        "the house's database is restored from a backup",
        _receiver_restored,
        Control("the posts do not close their accounts", Breach.LOST, {POST: ("closings",)}, ruins=True),
        soak=True,
        patience_seconds=120,
    ),
    Fault(
        "sender-restored",
        "the post's outbox is restored from a backup",
        _sender_restored,
        Control("the houses are not asked what they hold", Breach.TWICE, {POST: ("recovery",)}, ruins=True),
        soak=True,
        patience_seconds=120,
    ),
)
