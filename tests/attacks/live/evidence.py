"""Evidence that was tampered with, by a stranger and by the exporter himself; and trails and records changed behind everybody's back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from broker.evidence.file import ReadEvidence, read_evidence, write_evidence
from broker.evidence.findings import State
from broker.evidence.verify import verify
from broker.trust.keys import Identity
from broker.trust.testimony import PinnedAnchor, Tribunal
from schemas.errors import PanjError
from schemas.evidence import Account
from tests.acceptance.world import wait_for
from tests.attacks.live.ground import Ground
from tests.attacks.live.walking import of_posts
from tests.attacks.rows import Row
from tests.unit.trust.certificates import identity as identity_of
from tests.unit.trust.certificates import leaf, root

FAMILY = "evidence"


def attack_evidence(ground: Ground, times: int, seed: int) -> Iterator[Row]:
    """Export what is settled, on both sides, and try to have it prove something else."""
    files = [_exported(ground, number) for number in range(2)]
    random = Random(f"{seed} evidence")
    trusted = Tribunal(tuple(PinnedAnchor.read(side.authority.anchor) for side in ground.lab.sides))
    yield _bytes(files[0], trusted, random, times * 100)
    yield _sealed_again(ground, files, trusted, random, times * 40)
    yield _by_strangers(ground, files[0], trusted)
    yield _trail(ground)


def _exported(ground: Ground, number: int) -> bytes:
    reference = ground.declare(ground.tj, f"EVIDENCE-{number}")
    query = "SELECT fate FROM outbox WHERE reference = :reference"
    wait_for(reference, lambda: of_posts(ground.tj, query, reference=reference) == [("LOADED",)])
    place = ground.lab.directory / f"evidence-{number}.json"
    said = ground.world.panj(ground.af, "evidence", "export", reference, "--out", str(place))
    assert said.code == 0, said.err
    return place.read_bytes()


def _holds(raw: bytes, trusted: Tribunal) -> bool:
    """Whether a reader is told that all of it is proven."""
    try:
        return verify(read_evidence(raw), trusted, datetime.now(UTC) + timedelta(seconds=5)).holds
    except PanjError:
        return False


def _row(name: str, tries: int, wrongs: list[str], seen: bool | None, note: str = "") -> Row:
    got_in = [wrong for wrong in wrongs if not wrong.startswith("crash")]
    return Row(FAMILY, name, tries, len(got_in), len(wrongs) - len(got_in), seen, note, tuple(wrongs))


def _bytes(raw: bytes, trusted: Tribunal, random: Random, tries: int) -> Row:
    """Any byte of the file another, gone, or one more."""
    wrongs = []
    for _ in range(tries):
        at = random.randrange(len(raw))
        other = bytes([raw[at] ^ (1 << random.randrange(7))])
        changed = random.choice((raw[:at] + other + raw[at + 1 :], raw[:at] + raw[at + 1 :], raw[:at] + other + raw[at:], raw[:at]))
        try:
            if _holds(changed, trusted):
                wrongs.append(f"byte {at} may be another")
        except Exception as error:  # noqa: BLE001  any other than ours is what is looked for
            wrongs.append(f"crash: {type(error).__name__}: {error}"[:200])
    return _row("an evidence file with any byte changed", tries, wrongs, _holds(raw, trusted))


def _statements(value: Any) -> Iterator[dict[str, Any]]:
    """Every statement in an account: what somebody else signed."""
    if isinstance(value, dict):
        if "raw" in value and "jws" in value:
            yield value
        for each in value.values():
            yield from _statements(each)
    elif isinstance(value, list):
        for each in value:
            yield from _statements(each)


def _sealed_again(ground: Ground, files: list[bytes], trusted: Tribunal, random: Random, tries: int) -> Row:
    """The exporter himself changes what others signed, or puts another's statement in its place, and seals it anew with his own key."""
    house = ground.identity(ground.af, "customs")
    accounts = [json.loads(raw)["account"] for raw in files]
    others = [statement for account in accounts for statement in _statements(account)]
    wrongs, sealed = [], 0
    for _ in range(tries):
        account = json.loads(json.dumps(random.choice(accounts)))
        chosen = random.choice(list(_statements(account)))
        name, other = random.choice(("raw", "jws")), random.choice(others)
        text_of = str(chosen[name])
        at = random.randrange(len(text_of))
        mutations = (text_of[:at] + random.choice("abcXYZ019") + text_of[at + 1 :], str(other[name]))
        changed = random.choice(mutations)
        if changed == text_of:
            continue
        chosen[name] = changed
        raw = _seal(account, house)
        if raw is None:
            continue
        sealed += 1
        try:
            if _holds(raw, trusted):
                wrongs.append(f"{name} of a statement may be another")
        except Exception as error:  # noqa: BLE001  as above
            wrongs.append(f"crash: {type(error).__name__}: {error}"[:200])
    honest = _seal(accounts[0], house)
    return _row(
        "what others signed, changed by the exporter and sealed anew", sealed, wrongs, honest is not None and _holds(honest, trusted)
    )


def _seal(account: dict[str, Any], signer: Identity) -> bytes | None:
    try:
        return write_evidence(Account.model_validate(account), signer, datetime.now(UTC))
    except (ValidationError, PanjError):
        return None  # not even its own form is right


def _by_strangers(ground: Ground, raw: bytes, trusted: Tribunal) -> Row:
    """Sealed by somebody else, and read by somebody who trusts other authorities."""
    account = json.loads(raw)["account"]
    stranger = root("stranger", since=datetime(2020, 1, 1, tzinfo=UTC), until=datetime(2040, 1, 1, tzinfo=UTC))
    signers = [identity_of(leaf(stranger, "urn:customs:af:customs"), urn="urn:customs:af:customs")]
    signers += [
        ground.identity(ground.af, "sher-khan-bandar"),
        ground.identity(ground.tj, "customs"),
        ground.identity(ground.tj, "panji-poyon"),
    ]
    wrongs = [f"sealed by {signer.urn}" for signer in signers if (made := _seal(account, signer)) and _holds(made, trusted)]
    for side in ground.lab.sides:
        alone = Tribunal((PinnedAnchor.read(side.authority.anchor),))
        wrongs += [f"believed with the authority of {side.plan.country} alone"] if _holds(raw, alone) else []
        wrongs += _proven_of_others(read_evidence(raw), alone, side.plan.country)
    return _row("sealed by others; read with one authority alone", len(signers) + 4, wrongs, _holds(raw, trusted))


def _proven_of_others(evidence: ReadEvidence, alone: Tribunal, country: str) -> list[str]:
    found = verify(evidence, alone, datetime.now(UTC) + timedelta(seconds=5)).findings
    return [
        f"{finding.what} of {finding.by} is proven without its authority"
        for finding in found
        if finding.state is State.PROVEN and finding.by is not None and f":{country}:" not in finding.by
    ]


def _trail(ground: Ground) -> Row:
    """The audit trail changed behind the software's back: the database refuses, by whatever statement."""
    house = ground.af.settings.house
    assert house is not None
    urls: list[str] = [house.database, *(post.outbox for post in ground.tj.settings.posts.values())]
    statements = ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "UPDATE audit SET digest = previous", "TRUNCATE audit")
    wrongs, tries, rows = [], 0, 0
    for url in urls:
        engine = create_engine(url)
        with engine.connect() as connection:
            rows += connection.execute(text("SELECT count(*) FROM audit")).scalar_one()
        for statement in statements:
            tries += 1
            try:
                with engine.begin() as connection:
                    changed = connection.execute(text(statement)).rowcount
            except DBAPIError:
                continue
            if changed:
                wrongs.append(f"{statement}: {changed} rows of {Path(url).name}")
        engine.dispose()
    return _row("the audit trail rewritten in the database", tries, wrongs, rows > 0, f"{rows} entries")
