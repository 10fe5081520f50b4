"""The commands that `panj held` and `panj parked` share: list, and one for each decision. What they do stands in `acting`."""

from __future__ import annotations

import typer

from broker import logs
from broker.operations.output import ConfigOption, JsonOption
from broker.settings.load import load_settings
from consumers.review.acting import Choice, Manner, act, show_list
from consumers.review.desk import Desk
from consumers.review.options import (
    PAGE,
    WAIT_SECONDS,
    AllOption,
    CodeOption,
    DryRunOption,
    GroupOption,
    GroupsOption,
    KeysArgument,
    LaneOption,
    LaterOption,
    LimitOption,
    OlderOption,
    PageOption,
    QueueOption,
    ReasonOption,
    SourceOption,
    WaitOption,
    wanted_of,
)
from consumers.review.values import Action, Kind


def make_group(told: str) -> typer.Typer:
    """Make a group of commands; `told` is its help."""
    group = typer.Typer(no_args_is_help=True)

    @group.callback(help=told)
    def quieten(context: typer.Context) -> None:
        # What handlers raise and the opening finds is told by the command, in its table; with --verbose the log tells it too.
        if not context.find_root().params.get("verbose"):
            logs.configure("console", "critical")

    return group


def add_list(commands: typer.Typer, kind: Kind, told: str) -> None:
    """Give a group its list; `told` is the command's help."""

    @commands.command("list", help=told)
    def show(
        config: ConfigOption,
        groups: GroupsOption = False,
        code: CodeOption = None,
        queue: QueueOption = None,
        lane: LaneOption = None,
        source: SourceOption = None,
        older_than: OlderOption = None,
        group: GroupOption = None,
        page: PageOption = 1,
        limit: LimitOption = PAGE,
        as_json: JsonOption = False,
    ) -> None:
        wanted = wanted_of(code, queue, lane, source, older_than, group)
        with Desk.of(load_settings(config)) as desk:
            show_list(desk, kind, wanted, groups=groups, page=page, limit=limit, as_json=as_json)


def add_decision(commands: typer.Typer, kind: Kind, action: Action, told: str) -> None:
    """Give a group the command for one decision; `told` is the command's help."""

    @commands.command(action.value, help=told)
    def decide(
        config: ConfigOption,
        keys: KeysArgument = None,
        code: CodeOption = None,
        queue: QueueOption = None,
        lane: LaneOption = None,
        source: SourceOption = None,
        older_than: OlderOption = None,
        group: GroupOption = None,
        everything: AllOption = False,
        reason: ReasonOption = None,
        dry_run: DryRunOption = False,
        later: LaterOption = False,
        wait: WaitOption = WAIT_SECONDS,
        as_json: JsonOption = False,
    ) -> None:
        choice = Choice(tuple(keys or ()), wanted_of(code, queue, lane, source, older_than, group), everything)
        with Desk.of(load_settings(config)) as desk:
            act(desk, kind, action, choice, reason, Manner(dry_run, later, wait, as_json))
