"""An outbox that was lost is never begun anew in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from broker.settings.model import Settings
from producers.life import examine_outbox, keep_marked, open_outbox, post_named
from producers.marker import BEGUN, REACHED
from producers.post import opened_outbox
from schemas.errors import SettingsError, UnavailableError, UsageError
from tests.unit.outbox.drafts import draft, drafts
from tests.unit.producers.examples import EXPORT, release, settings_of

NAME = "panji-poyon"


def test_a_new_outbox_gets_its_epoch_by_itself_and_keeps_it(settings: Settings) -> None:
    first = open_outbox(settings, NAME)
    epoch = first.epoch
    first.close()
    second = open_outbox(settings, NAME)
    assert second.epoch == epoch
    second.close()


def test_a_lost_outbox_is_told_and_not_made_again(settings: Settings, tmp_path: Path) -> None:
    open_outbox(settings, NAME).close()
    for file in tmp_path.glob("outbox.sqlite*"):
        if not file.name.endswith(".begun"):
            file.unlink()
    for _ in range(2):
        with pytest.raises(SettingsError) as caught:
            open_outbox(settings, NAME)
        assert caught.value.code == "outbox-lost"
        assert not (tmp_path / "outbox.sqlite").exists()
    (tmp_path / "outbox.sqlite.begun").unlink()
    open_outbox(settings, NAME).close()


def test_another_outbox_under_the_same_name_is_told(settings: Settings, tmp_path: Path) -> None:
    open_outbox(settings, NAME).close()
    (tmp_path / "outbox.sqlite.begun").write_text("0123456789abcdef\n")
    outbox = open_outbox(settings, NAME)
    with pytest.raises(UnavailableError, match="another life, 0123456789abcdef") as caught:
        outbox.accept([draft(1)])
    assert caught.value.code == "outbox-restored"
    assert (tmp_path / "outbox.sqlite.begun").read_text() == "0123456789abcdef\n"
    outbox.close()
    with pytest.raises(UnavailableError, match="outbox-restored"):
        examine_outbox(settings, NAME)


def test_an_older_copy_of_the_file_is_told(settings: Settings, tmp_path: Path) -> None:
    with opened_outbox(settings, NAME) as outbox:
        outbox.accept([draft(1)])
    shutil.copy(tmp_path / "outbox.sqlite", tmp_path / "yesterday")
    with opened_outbox(settings, NAME) as outbox:
        outbox.accept([draft(2), draft(3)])
    for file in tmp_path.glob("outbox.sqlite*"):
        if not file.name.endswith((BEGUN, REACHED)):
            file.unlink()
    shutil.copy(tmp_path / "yesterday", tmp_path / "outbox.sqlite")
    for _ in range(2):  # it stays told, whatever is written beside it
        with opened_outbox(settings, NAME) as outbox, pytest.raises(UnavailableError, match=r"1 accepted events .* 3 had been") as caught:
            outbox.accept([draft(4)])
        assert caught.value.code == "outbox-restored"


def test_marks_that_are_torn_or_behind_say_nothing(settings: Settings, tmp_path: Path) -> None:
    with opened_outbox(settings, NAME) as outbox:
        outbox.accept(drafts(5))
        epoch = outbox.epoch
    reached = tmp_path / f"outbox.sqlite{REACHED}"
    assert reached.read_text() == f"{epoch} {5:020}\n"
    for content in ("", f"{epoch} 9", f"{epoch} {4:020}\n", f"0123456789abcdef {9:020}\n", "\0" * 38):
        reached.write_text(content)
        with opened_outbox(settings, NAME) as outbox:
            assert outbox.accept([draft(1)])[0].duplicate


def test_a_file_that_is_replaced_under_a_running_post_stops_it(settings: Settings, tmp_path: Path) -> None:
    with opened_outbox(settings, NAME) as outbox:
        stopped: list[bool] = []
        keep = keep_marked(settings, NAME, outbox, lambda: stopped.append(True))
        outbox.accept(drafts(2))
        keep()
        assert (tmp_path / f"outbox.sqlite{REACHED}").read_text() == f"{outbox.epoch} {2:020}\n"
        assert not stopped
        shutil.copy(tmp_path / "outbox.sqlite", tmp_path / "copy")
        (tmp_path / "copy").rename(tmp_path / "outbox.sqlite")
        keep()
        assert stopped


def test_a_new_life_begun_on_purpose_is_taken_note_of(settings: Settings, tmp_path: Path) -> None:
    outbox = open_outbox(settings, NAME)
    outbox.begin_epoch()
    epoch = outbox.epoch
    outbox.close()
    open_outbox(settings, NAME).close()
    assert (tmp_path / "outbox.sqlite.begun").read_text().strip() == epoch


def test_looking_an_outbox_over_makes_none(settings: Settings, tmp_path: Path) -> None:
    assert "first start" in examine_outbox(settings, NAME)
    assert not (tmp_path / "outbox.sqlite").exists()
    open_outbox(settings, NAME).close()
    assert "0 waiting" in examine_outbox(settings, NAME)


def test_the_only_post_is_meant_where_none_is_named(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, release(EXPORT))
    assert post_named(settings, None) == post_named(settings, NAME) == NAME
    with pytest.raises(UsageError, match="panji-poyon"):
        post_named(settings, "nizhny")
    two = settings.model_copy(update={"posts": {**settings.posts, "ishkoshim": settings.posts[NAME]}})
    with pytest.raises(UsageError, match="PANJ_POST"):
        post_named(two, None)
