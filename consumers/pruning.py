"""Pruning the customs house: what may go stands in `retention`; here it is done, for the daemon and for `panj prune`."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine

from broker.archive import Archived
from broker.operations.contributions import database_exists
from broker.settings.model import Settings
from consumers import migrations
from consumers.clock import now_utc
from consumers.database import open_engine
from consumers.retention import Retention


def prune(settings: Settings, dry_run: bool) -> Iterator[Archived]:
    """Prune the house's database, where this machine has one."""
    if settings.house is None or not database_exists(settings.house.database):
        return
    engine = open_engine(settings.house.database)
    try:
        if migrations.current_revision(engine) is not None:
            yield from prune_house(settings, engine, dry_run=dry_run)
    finally:
        engine.dispose()


def prune_house(settings: Settings, engine: Engine, *, dry_run: bool = False) -> Iterator[Archived]:
    """Archive a block after the other until none may go, then sweep signatures that nothing needs; in a dry run give the next of each."""
    archive, days = settings.retention.archive, settings.retention.inbox_days
    retention = Retention(engine, settings.house_party, now_utc)
    while blocks := retention.blocks(days):
        for block in blocks:
            if dry_run or archive is None:
                yield Archived(settings.house_party.unit, block, block.last - block.first + 1, None)
            elif (gone := retention.archive(block, archive)) is not None:
                yield gone
        if dry_run or archive is None:
            return
    if archive is not None and not dry_run:
        while retention.sweep(days):
            pass
