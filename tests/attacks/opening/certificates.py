"""Certificates that must not speak, and CRLs that must not be put back: bundles signed with each, through the opening code."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from broker.trust.anchors import TrustStore
from schemas.errors import DistrustError
from schemas.event import digest_of
from tests.attacks.chains import Chain, Maker
from tests.attacks.opening.corpus import FORGER_ROOT, Corpus, Door, Specimen, doors, honest_corpus, store
from tests.attacks.opening.judge import Rule, Verdict, gullible, judge
from tests.attacks.quiet import quieten
from tests.attacks.rows import Row
from tests.unit.bundle.senders import AF_ROOT, THEIR_HOUSE, THEIR_POST, TJ_ROOT, bundle, signed_anyhow
from tests.unit.trust.certificates import NOW, crl, header_of, identity, leaf, make, root, signed, trust_in

FAMILY = "certificates"


def attack_with_certificates(tries: int) -> Iterator[Row]:
    """Try each chain on each honest bundle of its unit, `tries` times over."""
    quieten()
    corpus = honest_corpus()
    real = doors(store())
    said: dict[str, list[tuple[Chain, Specimen]]] = {}
    for chain, specimens in _chains(corpus):
        said.setdefault(chain.name, []).extend((chain, specimen) for specimen in specimens)
    for name, pairs in said.items():
        verdicts = [_sign_and_judge(chain, specimen, real, corpus) for chain, specimen in pairs for _ in range(tries)]
        seen = all(_sign_and_judge(chain, specimen, gullible(real), corpus).got_in for chain, specimen in pairs)
        yield _row(name, verdicts, seen)
    yield _wrong_lane(corpus, real)
    yield from _crls(corpus)


def _chains(corpus: Corpus) -> Iterator[tuple[Chain, list[Specimen]]]:
    exports = corpus.at("record")[:3]
    for chain in Maker(TJ_ROOT, AF_ROOT, exports[0].route.source, NOW).chains():
        yield chain, exports
    receipts = corpus.at("mailbox")
    for chain in Maker(AF_ROOT, TJ_ROOT, receipts[0].route.source, NOW).chains():
        if chain.name != "the house's URN":  # there it is its own
            yield chain, receipts


def _sign_and_judge(chain: Chain, specimen: Specimen, at: dict[str, Door], corpus: Corpus) -> Verdict:
    jws = signed(header_of([digest_of(raw) for raw in specimen.raws], chain.signer), chain.signer.key)
    message = signed_anyhow(specimen.raws, specimen.route, jws=jws)
    return judge(message, specimen.door, at, corpus, Rule.NOTHING)


def _row(name: str, verdicts: list[Verdict], seen: bool | None) -> Row:
    failures = tuple(verdict.got_in or verdict.crashed for verdict in verdicts if verdict.got_in or verdict.crashed)
    codes = ", ".join(sorted({verdict.code for verdict in verdicts}))
    got_in, crashed = sum(verdict.got_in != "" for verdict in verdicts), sum(verdict.crashed != "" for verdict in verdicts)
    return Row(FAMILY, name, len(verdicts), got_in, crashed, seen, codes, failures)


def _wrong_lane(corpus: Corpus, real: dict[str, Door]) -> Row:
    """A unit of the one country through the lane of the other, both honest."""
    theirs = [specimen for specimen in corpus.specimens if specimen.route.source == THEIR_POST]
    verdicts = []
    for specimen in theirs:
        for route in (specimen.route, replace(specimen.route, destination=THEIR_HOUSE)):
            for door in ("record", "control"):
                message = bundle(specimen.raws, route)
                verdicts.append(judge(message, door, real, corpus, Rule.NOTHING))
    seen = judge(bundle(theirs[0].raws, theirs[0].route), "record", gullible(real), corpus, Rule.NOTHING).got_in != ""
    return _row("a unit of the other country in this lane", verdicts, seen)


def _crls(corpus: Corpus) -> Iterator[Row]:
    """A revoked post; then everything that might make the house forget it."""
    specimen = corpus.at("record")[0]
    revoked, middle = leaf(TJ_ROOT, specimen.route.source.urn), make("posts", TJ_ROOT, ca=True)
    below = leaf(middle, specimen.route.source.urn)
    serials = [revoked.certificate.serial_number, middle.certificate.serial_number]
    place = Path(tempfile.mkdtemp(prefix="panj-attacks-"))
    trust = trust_in(place, tj=TJ_ROOT, af=AF_ROOT)
    at = doors(trust)
    chains = (Chain("revoked", identity(revoked)), Chain("below a revoked authority", identity(below, middle)))
    before = [_sign_and_judge(chain, specimen, at, corpus) for chain in chains]
    trust.take_crl("tj", crl(TJ_ROOT, 7, serials))
    for chain in chains:
        verdicts = [_sign_and_judge(chain, specimen, at, corpus) for _ in range(3)]
        yield _row(chain.name, verdicts, all(verdict.code == "opened" for verdict in before))
    yield _put_back(corpus, specimen, trust, place, chains)


def _put_back(corpus: Corpus, specimen: Specimen, trust: TrustStore, place: Path, chains: tuple[Chain, ...]) -> Row:
    """Older, forged, partial and foreign CRLs over the wire and in the directory, and the file itself taken away."""
    at = doors(trust)
    forged = [
        crl(TJ_ROOT, 7),
        crl(TJ_ROOT, 6),
        crl(TJ_ROOT, 0),
        crl(FORGER_ROOT, 99),
        crl(AF_ROOT, 99),
        crl(root("root of tj"), 2**64),
        crl(TJ_ROOT, None),
        b"",
        b"-----BEGIN X509 CRL-----\n",
        crl(TJ_ROOT, 99)[:-1],
        crl(TJ_ROOT, 99, until=NOW - timedelta(days=2))[:-20] + bytes(20),
    ]
    verdicts, crashed = [], []
    for number, der in enumerate(forged):
        try:
            trust.take_crl("tj", der)
        except DistrustError:
            pass
        except Exception as error:  # noqa: BLE001  any other is what is looked for
            crashed.append(f"{type(error).__name__}: {error}")
        (place / "tj" / f"{number}.crl").write_bytes(der)
        trust.reload()
        verdicts += [_sign_and_judge(chain, specimen, at, corpus) for chain in chains]
    for file in (place / "tj").iterdir():
        file.unlink()
    trust.reload()
    verdicts += [_sign_and_judge(chain, specimen, at, corpus) for chain in chains]
    trust.take_crl("tj", crl(TJ_ROOT, 8))
    after = [_sign_and_judge(chain, specimen, at, corpus).code == "opened" for chain in chains]
    row = _row("older, forged and foreign CRLs, and none, after a revocation", verdicts, all(after))
    return replace(row, crashed=row.crashed + len(crashed), failures=(*row.failures, *crashed))
