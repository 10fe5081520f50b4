"""exchange.toml: what is right is loaded, what is wrong is told with file, key, value and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from broker.settings.load import load_settings
from broker.settings.model import Settings
from schemas.catalogue import CATALOGUE
from schemas.errors import SettingsError
from schemas.names import EventType

EXAMPLE = Path(__file__).parents[3] / "deploy" / "exchange.example.toml"


_VIEW = """[[posts.panji-poyon.views]]
name = "sad"
database = "postgresql+psycopg://reader@db/national"
view = "exchange_declaration"
key = ["serial"]
changed = "txid"
order = "transaction"
document = "document"

"""


def _http(**keys: str) -> str:
    """A table of the HTTP intake before the one that it stands in front of."""
    lines = "".join(f'{name} = "{value}"\n' for name, value in keys.items())
    return f"[posts.panji-poyon.http]\n{lines}\n[home]"


def _load(directory: Path, old: str = "", new: str = "") -> Settings:
    text = EXAMPLE.read_text()
    assert old in text
    path = directory / "exchange.toml"
    path.write_text(text.replace(old, new, 1))
    return load_settings(path)


def _told(directory: Path, old: str, new: str) -> SettingsError:
    with pytest.raises(SettingsError) as raised:
        _load(directory, old, new)
    assert all(problem.code in CATALOGUE for problem in raised.value.problems)
    return raised.value


def test_the_example_loads_and_its_paths_are_relative_to_its_directory(tmp_path: Path) -> None:
    settings = _load(tmp_path)
    post = settings.posts["panji-poyon"]
    assert post.watch == tmp_path / "var/panji-poyon/declarations"
    assert post.outbox == f"sqlite:///{tmp_path}/var/panji-poyon/outbox.sqlite"
    assert settings.partners["af"].link.ca == tmp_path / "trust/af/ca.pem"
    assert settings.broker.management.password_file == tmp_path / "secrets/management"
    assert settings.house is not None
    assert settings.house.database == "postgresql+psycopg://panj@127.0.0.1/panj"


def test_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    settings = _load(tmp_path, "sqlite:///var/panji-poyon/outbox.sqlite", "sqlite:////srv/outbox.sqlite?timeout=5")
    assert settings.posts["panji-poyon"].outbox == "sqlite:////srv/outbox.sqlite?timeout=5"
    assert _load(tmp_path, '"pki/ca.pem"', '"/etc/panj/ca.pem"').broker.ca == Path("/etc/panj/ca.pem")


def test_a_relative_config_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _load(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path("exchange.toml")).broker.ca == tmp_path / "pki/ca.pem"


@pytest.mark.parametrize(
    ("old", "new", "field", "code", "said"),
    [
        ("port = 5671", "port = 70000", "broker.port", "settings-value", "less than or equal to 65535"),
        ("port = 5671", 'port = "5671"', "broker.port", "settings-value", "valid integer"),
        ("port = 5671", "port = true", "broker.port", "settings-value", "valid integer"),
        ('country = "tj"', 'country = "TJ"', "country", "settings-value", "ISO 3166-1 alpha-2 in lower case, such as tj"),
        ("Asia/Dushanbe", "Asia/Dushanbee", "time_zone", "settings-value", "Asia/Dushanbe"),
        ("Asia/Dushanbe", "Asia", "time_zone", "settings-value", "no such time zone"),
        ("Asia/Dushanbe", "../etc/passwd", "time_zone", "settings-value", "no such time zone"),
        ('host = "broker.', 'hst = "broker.', "partners.af.link.hst", "settings-key-unknown", "did you mean 'host'?"),
        ("[home]", "[hom]", "hom", "settings-key-unknown", "did you mean 'home'?"),
        ('cluster_name = "tj"', "", "broker.cluster_name", "settings-key-missing", "is missing"),
        ("[posts.panji-poyon]", "[posts.customs]", "posts.customs", "settings-value", "customs house's own"),
        ("[posts.panji-poyon]", "[posts.Panji]", "posts.Panji", "settings-value", "must match"),
        ("broker.customs.example", "a b?x=", "partners.af.link.host", "settings-value", "a host name or IP address"),
        ('loads = ["customs.export', 'loads = ["customs.exprt', "partners.af.loads.0", "settings-value", "customs.export-declaration.v1"),
        (
            '"customs.export-declaration.v1", "customs.im',
            '"customs.receipt.v1", "customs.im',
            "house.consumers.0.types.0",
            "settings-value",
            "only",
        ),
        ("[home]", _http(listen="0.0.0.0:8443", tokens="t"), "posts.panji-poyon.http", "settings-value", "TLS only"),
        ("[home]", _http(listen="127.0.0.1:8443"), "posts.panji-poyon.http", "settings-value", "nobody may hand in"),
        ("[home]", _http(listen="customs.tj:8443", tokens="t"), "posts.panji-poyon.http", "settings-value", "an IP address"),
        ("[home]", _http(listen="127.0.0.1:99999", tokens="t"), "posts.panji-poyon.http", "settings-value", "a port"),
        ("[home]", _http(listen="[::1]:1", client_ca="a"), "posts.panji-poyon.http", "settings-value", "needs TLS"),
        ("[home]", _http(listen="[::1]:1", tokens="t", key="k"), "posts.panji-poyon.http", "settings-value", "belong together"),
        ("[home]", f"{_VIEW}{_VIEW}[home]", "posts.panji-poyon.views", "settings-value", "two views are called 'sad'"),
        ("sqlite:///var", "mysql://var", "posts.panji-poyon.outbox", "settings-value", "sqlite:///"),
        ("crls = ", "clrs = ", "home.crls", "settings-key-missing", "is missing"),
        ('queue = "record"', 'queue = "Record!"', "house.consumers.0.queue", "settings-value", "must match"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, field: str, code: str, said: str
) -> None:
    error = _told(tmp_path, old, new)
    problem = next(problem for problem in error.problems if problem.field == field)
    assert problem.code == code
    assert said in problem.text
    assert str(tmp_path)[-60:] in problem.text
    assert error.exit_code == 2


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    error = _told(tmp_path, 'country = "tj"\nenvironment = "test"', 'contry = "tj"\nenvironment = "Test"')
    assert [(problem.field, problem.code) for problem in error.problems] == [
        ("country", "settings-key-missing"),
        ("environment", "settings-value"),
        ("contry", "settings-key-unknown"),
    ]


def test_a_type_released_twice_or_taken_twice_is_refused(tmp_path: Path) -> None:
    error = _told(tmp_path, 'type = "customs.transit-declaration.v1"', 'type = "customs.export-declaration.v1"')
    assert [(problem.field, problem.code) for problem in error.problems] == [("partners.af.releases", "settings-value")]
    error = _told(
        tmp_path,
        "[posts.panji-poyon]",
        '[[house.consumers]]\nqueue = "risk"\ntypes = ["customs.crossing-event.v1"]\nhandler = "x"\n[posts.panji-poyon]',
    )
    assert "'record' and 'risk'" in str(error)


def test_a_country_is_not_its_own_partner(tmp_path: Path) -> None:
    text = EXAMPLE.read_text().replace("partners.af", "partners.tj")
    path = tmp_path / "exchange.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"partners\.tj"):
        load_settings(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("//panj@", "//panj:geheim@"),
        ("//panj@127.0.0.1/panj", "//127.0.0.1/panj?user=panj&password=geheim"),
        ("http://127", "http://panj-admin:geheim@127"),
        ("sqlite:///var", "mysql://panj:geheim@var"),
    ],
)
def test_a_password_in_a_url_is_refused_and_never_repeated(tmp_path: Path, old: str, new: str) -> None:
    error = _told(tmp_path, old, new)
    assert error.code == "settings-secret"
    assert "geheim" not in str(error)


def test_broken_toml_is_told_with_its_line(tmp_path: Path) -> None:
    error = _told(tmp_path, 'country = "tj"', "country = tj")
    assert error.code == "settings-syntax"
    assert "line 2" in str(error)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "exchange.toml"
    path.write_bytes(b'country = "tj"\n# \xff\n')
    with pytest.raises(SettingsError, match="line 2") as raised:
        load_settings(path)
    assert raised.value.code == "settings-syntax"


def test_a_missing_file_is_told_with_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--config or PANJ_CONFIG") as raised:
        load_settings(tmp_path / "none.toml")
    assert raised.value.code == "settings-missing"
    with pytest.raises(SettingsError) as raised:
        load_settings(tmp_path)
    assert raised.value.code == "settings-unreadable"


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    error = _told(tmp_path, 'cluster_name = "tj"', 'cluster_name = "\\u001b[2Jtj"')
    assert "\x1b" not in str(error)


_VALUES = st.recursive(
    st.none().map(lambda _: "")
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([each.value for each in EventType]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(
    key=st.sampled_from(
        ["country", "environment", "time_zone", "clock_tolerance_seconds", "code_lists", "log_format", "posts", "partners"]
    ),
    value=_VALUES,
)
def test_whatever_stands_in_the_file_either_loads_or_is_told(tmp_path_factory: pytest.TempPathFactory, key: str, value: object) -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if not line.startswith(f"{key} ")]
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("\n".join([f"{key} = {_toml(value)}", *lines]))
    told: tuple[str, ...] = ()
    try:
        load_settings(path)
    except SettingsError as error:
        told = tuple(problem.code for problem in error.problems)
    assert all(code in CATALOGUE for code in told)


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return repr(value)


def test_every_key_is_explained_in_the_documentation() -> None:
    page = (EXAMPLE.parents[1] / "docs" / "exchange-toml.md").read_text()
    told = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`[^`]+`|^#.*$", page, re.MULTILINE))))
    assert _keys(Settings) - told == set()


def _keys(table: type[BaseModel]) -> set[str]:
    found = set(table.model_fields)
    for field in table.model_fields.values():
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= _keys(inner)
    return found
