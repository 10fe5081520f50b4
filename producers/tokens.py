"""`panj post token`: make or remove the bearer tokens of the HTTP intake. Their file stands in `sources.http.tokens`."""

from __future__ import annotations

from typing import Annotated

import typer

from broker.operations.output import ConfigOption, JsonOption, print_json
from broker.settings.load import load_settings
from producers.life import post_named
from producers.sources.http.tokens import add_token, remove_token
from schemas.errors import SettingsError


def token(
    name: Annotated[str, typer.Argument(help="Whose token it is, such as asycuda; it stands in the log.", show_default=False)],
    *,
    config: ConfigOption,
    post: Annotated[str | None, typer.Option("--post", envvar="PANJ_POST", help="Which post; the only one by default.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="It may ask for fates, and not hand in.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it: it opens nothing from the next request on.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a bearer token for the HTTP intake and print it, this once: only its digest is kept. A running post knows it at once."""
    settings = load_settings(config)
    chosen = post_named(settings, post)
    http = settings.posts[chosen].http
    if http is None or http.tokens is None:
        text = "the post takes no tokens: name their file in exchange.toml first"
        raise SettingsError("tokens-none", text, field=f"posts.{chosen}.http.tokens")
    if remove:
        remove_token(http.tokens, name, dry_run=dry_run)
        said = None
    else:
        said = add_token(http.tokens, name, read_only=read_only, dry_run=dry_run)
    done = "removed" if remove else "made"
    if as_json:
        print_json({"name": name, done: not dry_run, "token": None if dry_run else said})
    elif dry_run:
        typer.echo(f"token {name!r} would be {done}")
    elif said is None:
        typer.echo(f"token {name!r} is removed")
    else:
        typer.echo(f"token {name!r}, shown this once, its digest kept in {http.tokens}:", err=True)
        typer.echo(said)
