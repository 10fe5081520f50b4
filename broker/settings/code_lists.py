"""An administration's own long code lists as they are kept in `code_lists` of exchange.toml, one JSON file each."""

from __future__ import annotations

from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from schemas import codelists
from schemas.errors import SettingsError


class LoadedList(BaseModel):
    """A list as it is kept: where it came from, which edition, when it was loaded, the SHA-256 of the file, and its codes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str = Field(min_length=1, max_length=300)
    edition: str = Field(min_length=1, max_length=100)
    loaded_at_utc: AwareDatetime
    file_sha256: str
    codes: tuple[str, ...]


def apply_lists(directory: Path | None) -> None:
    """Have all models check membership in the lists kept in `directory` (None: by shape only); SettingsError where one is damaged."""
    kept = read_lists(directory)
    codelists.load({each.name: frozenset(each.codes) for each in kept})


def read_lists(directory: Path | None) -> list[LoadedList]:
    """Read the lists that were loaded into `directory`."""
    if directory is None or not directory.is_dir():
        return []
    return [_read(path) for name in codelists.LOADABLE if (path := directory / f"{name}.json").exists()]


def _read(path: Path) -> LoadedList:
    try:
        return LoadedList.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SettingsError(
            "codelist-damaged", 'this code list cannot be read: load it again with "panj codelists load"', field=str(path), value=error
        ) from None
