"""Pruning a post's outbox: what may go stands in `broker.outbox.pruning`; here it is done, for the daemon and for `panj prune`."""

from __future__ import annotations

from collections.abc import Iterator

from broker.archive import Archived
from broker.operations.contributions import database_exists
from broker.outbox.store import Outbox
from broker.settings.model import Settings


def prune(settings: Settings, dry_run: bool) -> Iterator[Archived]:
    """Prune the outboxes of all posts on this machine."""
    for name, post in sorted(settings.posts.items()):
        if not database_exists(post.outbox):
            continue
        outbox = Outbox.open(post.outbox, settings.post_party(name), settings.environment)
        try:
            yield from prune_outbox(settings, outbox, dry_run=dry_run)
        finally:
            outbox.close()


def prune_outbox(settings: Settings, outbox: Outbox, *, dry_run: bool = False) -> Iterator[Archived]:
    """Archive a block after the other until none may go; in a dry run give the next of each stream."""
    archive, days = settings.retention.archive, settings.retention.settled_days
    while blocks := outbox.pruning.blocks(days):
        for block in blocks:
            if dry_run or archive is None:
                yield Archived(outbox.source.unit, block, block.last - block.first + 1, None)
            elif (gone := outbox.pruning.archive(block, archive)) is not None:
                yield gone
        if dry_run or archive is None:
            return
