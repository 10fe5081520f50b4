"""`panj post reread`: let a view of the national database be read again from its beginning. How views are read stands in `sources.view`."""

from __future__ import annotations

from typing import Annotated

import typer

from broker.audit import Act, actor, worded
from broker.operations.output import ConfigOption
from broker.settings.load import load_settings
from broker.settings.model import Settings
from broker.settings.sources import ViewSource
from producers.life import post_named
from producers.national import open_national
from producers.post import opened_outbox, reader_of_post
from producers.sources.view.contents import content_of
from producers.sources.view.national import NationalView
from schemas.errors import UsageError


def reread(
    name: Annotated[str, typer.Argument(help="The view, as exchange.toml names it.", show_default=False)],
    *,
    config: ConfigOption,
    reason: Annotated[str, typer.Option("--reason", help="Why; the audit trail is told.", show_default=False)],
    post: Annotated[str | None, typer.Option("--post", envvar="PANJ_POST", help="Which post; the only one by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell how far it was read, and change nothing.")] = False,
) -> None:
    """Read a view again from its beginning, as after its database was set back. What was sent before makes no second event."""
    settings = load_settings(config)
    chosen = post_named(settings, post)
    known = [view.name for view in settings.posts[chosen].views]
    if name not in known:
        raise UsageError("view-unknown", f"this post reads: {', '.join(known) or 'none'}", field="NAME", value=name)
    with opened_outbox(settings, chosen) as outbox:
        cursor = outbox.cursors.read(name)
        if not dry_run:
            outbox.cursors.forget(name)
            outbox.note(Act(actor(), "view.reread", name, worded(reason), {"rows": cursor.rows}))
    done = "would be" if dry_run else "is"
    typer.echo(f"{name}: {cursor.rows} rows were read, {cursor.rejected} of them rejected; it {done} read from its beginning")


def look_at(settings: Settings, name: str, source: ViewSource) -> str:
    """Ask a post's view for one row; tell what it said."""
    columns = content_of(source, reader_of_post(settings, name)).columns
    view = NationalView(open_national(source.database, source.password_file), source, columns)
    try:
        with view.snapshot() as snapshot:
            rows = snapshot.rows(None, None, 1)
            if source.order == "transaction":
                snapshot.oldest_open()
        return f"{source.view} answers{'' if rows else ', and is empty'}"
    finally:
        view.close()
