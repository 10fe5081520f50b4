"""The frame of the one `panj` command: finds its groups through the entry points "panj.commands", and turns errors into a line and an
exit code. What a group does stands in the package that declares it; shared options and printing in `output`.

An entry point gives a `typer.Typer` (a group, such as `panj topology`) or a function (one command, such as `panj trace`). Only the one
that is called is imported: `panj --help` reads the first line of each module's docstring without running it.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from schemas.errors import PanjError, UnavailableError

GROUP = "panj.commands"
INTERRUPTED = 130  # 128 + SIGINT, as shells count


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `panj` with these arguments (default: the process's own) and leave with its exit code.

    0 done, 1 refused or found something, 2 wrong settings or arguments, 3 something needed is away, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        typer.main.get_command(_app(words)).main(args=words, prog_name="panj")
    except PanjError as error:
        _leave(error)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # the outermost edge: what other libraries call "away" becomes readable, the rest is raised
        readable = _unavailable(error)
        if readable is None:
            raise
        _leave(readable)
    sys.exit(0)


def _app(words: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        name="panj", no_args_is_help=True, help="The exchange between neighbouring customs administrations.", rich_markup_mode=None
    )
    app.callback()(_frame)
    called = next((word for word in words if not word.startswith("-")), None)
    completing = "_PANJ_COMPLETE" in os.environ
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if completing or point.name == called:
            _add(app, point, _load(point))
        else:
            app.command(point.name, help=_one_line(point))(_unloaded)
    return app


def _add(app: typer.Typer, point: EntryPoint, commands: typer.Typer | Callable[..., object]) -> None:
    if isinstance(commands, typer.Typer):
        app.add_typer(commands, name=point.name)
    else:
        app.command(point.name)(commands)


def _load(point: EntryPoint) -> typer.Typer | Callable[..., object]:
    try:
        commands: object = point.load()
    except (ImportError, AttributeError) as error:
        raise UnavailableError(
            "command-unavailable",
            f"`panj {point.name}` cannot be loaded from {point.value}: {error}; the other commands work. Is its package installed whole?",
        ) from error
    if isinstance(commands, typer.Typer) or callable(commands):
        return commands
    raise UnavailableError("command-unavailable", f"`panj {point.name}`: {point.value} is neither a typer.Typer nor a function")


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"panj {version('panj')}")
        except PackageNotFoundError:
            typer.echo("panj (not installed)")
        raise typer.Exit


def _frame(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, on standard error.")] = False,
) -> None:
    from broker.logs import configure  # noqa: PLC0415  structlog costs 30 ms, which `panj --help` need not pay

    configure("console", "info" if verbose else "warning")


def _unloaded() -> None:
    """Stand in, in the list of commands, for a command that was not called."""


def _one_line(point: EntryPoint) -> str:
    """Give the first sentence of the module's docstring, without importing it: that would cost seconds for all groups together."""
    spec = _spec(point.module)
    if spec is None or spec.origin is None:
        return f"(not available: no module {point.module})"
    try:
        text = ast.get_docstring(ast.parse(Path(spec.origin).read_bytes())) or ""
    except (OSError, SyntaxError, ValueError) as error:
        return f"(not available: {error})"
    text = re.sub(rf"^`panj {re.escape(point.name)}[^`]*`: *", "", " ".join(text.split()))
    sentence = re.split(r"(?<=[.;])\s", text, maxsplit=1)[0].rstrip(".;")
    return sentence[:1].upper() + sentence[1:] + "." if sentence else ""


def _spec(module: str) -> ModuleSpec | None:
    """Find a module as the import system would, but without importing the packages above it."""
    places: Sequence[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        spec = next((found for found in _found(name, places) if found is not None), None)
        if spec is None:
            return None
        places = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
        if places is None and depth < len(parts):
            return None
    return spec


def _found(name: str, places: Sequence[str] | None) -> Iterator[ModuleSpec | None]:
    yield PathFinder.find_spec(name, places)
    for finder in sys.meta_path:  # an editable installation brings a finder of its own
        if finder is not PathFinder and hasattr(finder, "find_spec"):
            yield finder.find_spec(name, places)


def _unavailable(error: Exception) -> PanjError | None:
    """Say in words what a database, the network or the disk said; None for what is a defect and deserves its traceback."""
    sqlalchemy, httpx = sys.modules.get("sqlalchemy.exc"), sys.modules.get("httpx")
    if sqlalchemy is not None and isinstance(error, sqlalchemy.OperationalError | sqlalchemy.TimeoutError):
        said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        return UnavailableError("database-unavailable", f"the database does not answer or refuses: {said}")
    if httpx is not None and isinstance(error, httpx.TransportError):
        return UnavailableError("network-unavailable", f"no answer over the network: {error}")
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return UnavailableError("system-unavailable", f"the system refuses: {error.strerror or error}{where}")
    return None


def _leave(error: PanjError) -> NoReturn:
    for problem in error.problems:
        place = f"{problem.field}: " if problem.field else ""
        value = f" (got {problem.value!r})" if problem.value is not None else ""
        typer.echo(f"error [{problem.code}] {place}{problem.text}{value}", err=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
