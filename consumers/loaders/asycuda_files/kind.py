"""The import folder: whole files, under names of their own, never overwritten, each seen once, whatever dies in between.

A file is written and synced under a hidden name, then what was done is committed, and only then it gets its name. After a crash in between,
what was noted as done gets its name on the next start, and what was not noted is removed: so a file that ASYCUDA took away already is not
written again. Nobody else writes names that begin with `.panj.`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from sqlalchemy import Connection, select

from broker.settings.followers import AsycudaFiles
from consumers.database import among
from consumers.loaders.asycuda_files.documents import Document, document_of
from consumers.loaders.following.tables import followed
from consumers.loaders.following.values import Done, Hindrance, Outcome, Todo
from schemas.errors import Problem

log = structlog.get_logger()

_SEEN = (Outcome.WRITTEN, Outcome.NOTED)
_ABANDONED_SECONDS = 600  # a hidden file that another daemon may still be at is younger


class AsycudaFolder:
    """The folder of one follower."""

    def __init__(self, settings: AsycudaFiles) -> None:
        self._settings = settings
        self._prefix = f".panj.{settings.name}."
        with self._folder():
            if not settings.folder.is_dir():
                raise Hindrance("follow-folder", "no such directory: make it, or mount it", field="folder", value=settings.folder)

    def write(self, connection: Connection, todos: Sequence[Todo]) -> list[Done]:
        """Write each whole under its hidden name."""
        done = []
        for todo in todos:
            try:
                document = document_of(todo, self._settings)
            except ValueError as error:
                problem = Problem(code="follow-unsayable", text=f"it cannot be said as a SAD: {error}"[:500])
                done.append(Done.failed(todo.event.id, problem))
                continue
            with self._folder():
                done.append(self._keep(todo.event.id, document))
        with self._folder():
            _sync(self._settings.folder)
        return done

    def publish(self, done: Sequence[Done]) -> None:
        """Give the files their names."""
        names = {one.event_id: one.detail for one in done if one.outcome in _SEEN and one.detail is not None}
        with self._folder():
            for event_id, name in names.items():
                self._name(self._hidden(event_id), name)
            if names:
                _sync(self._settings.folder)

    def recover(self, connection: Connection) -> None:
        """Give names to what was noted as done, and remove what never was."""
        with self._folder():
            left = {path.name[len(self._prefix) :].partition(".")[0]: path for path in self._settings.folder.glob(f"{self._prefix}*")}
            query = select(followed.c.event_id, followed.c.detail).where(
                followed.c.follower == self._settings.name,
                among(connection, followed.c.event_id, sorted(left)),
                followed.c.outcome.in_([outcome.value for outcome in _SEEN]),
            )
            noted = {row.event_id: row.detail for row in connection.execute(query)} if left else {}
            for event_id, path in left.items():
                if noted.get(event_id) is not None:
                    self._name(path, noted[event_id])
                elif time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink(missing_ok=True)
            if noted:
                log.info("folder.recovered", follower=self._settings.name, files=len(noted))

    def close(self) -> None:
        """Nothing is held open."""

    def _keep(self, event_id: str, document: Document) -> Done:
        if document.name is None or document.content is None:
            return Done(event_id, document.outcome)
        path = self._settings.folder / document.name
        if path.exists() and path.read_bytes() != document.content:
            text = "another file of this name is there, and nothing is overwritten: take it away, then have it tried again"
            return Done.failed(event_id, Problem(code="follow-file-exists", text=text, value=document.name[:120]))
        if not path.exists():
            hidden = self._hidden(event_id)
            with open(hidden, "wb") as file:
                file.write(document.content)
                file.flush()
                os.fsync(file.fileno())
        return Done(event_id, document.outcome, document.name)

    def _hidden(self, event_id: str) -> Path:
        return self._settings.folder / f"{self._prefix}{event_id}.part"

    def _name(self, hidden: Path, name: str) -> None:
        path = self._settings.folder / name
        if path.exists():
            log.warning("file.there_already", follower=self._settings.name)
            hidden.unlink(missing_ok=True)
            return
        with suppress(FileNotFoundError):  # it was there before, or another daemon was faster
            hidden.rename(path)  # in one step: a link and an unlink could leave both, and the file would be imported twice

    @contextmanager
    def _folder(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"the import folder cannot be used: {error.strerror or error}"
            raise Hindrance("follow-folder", text, field="folder", value=self._settings.folder) from error


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some shares cannot: then it is their server's promise
        log.debug("folder.not_synced")
    finally:
        os.close(handle)
