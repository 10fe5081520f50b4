"""An outbox that was lost is never begun anew in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.settings.model import Settings
from producers.life import examine_outbox, open_outbox, post_named
from schemas.errors import SettingsError, UsageError
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
    with pytest.raises(SettingsError, match="another life"):
        open_outbox(settings, NAME)


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
