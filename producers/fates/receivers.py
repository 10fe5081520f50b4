"""Which way fates go: made from `posts.NAME.fates`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from broker.settings.sources import FatesBack
from producers.fates.callbacks import CallbackReceiver
from producers.fates.files import FilesReceiver
from producers.fates.receiving import Receiver
from producers.fates.rows import RowsReceiver
from producers.national import open_national


def receiver_of(found: FatesBack, post: str, clock: Callable[[], datetime]) -> Receiver:
    """Make the one that is configured; `post` is a URN. SettingsError where its directory, secret, authority or URL is wrong."""
    if found.directory is not None:
        return FilesReceiver(found.directory, post)
    if found.url is not None and found.secret is not None:
        return CallbackReceiver(found.url, found.secret, post, clock, found.ca)
    return RowsReceiver(open_national(found.database or "", found.password_file), found.table, post)
