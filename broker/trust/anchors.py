"""The trust store: one anchor pinned to each country, its CRLs, and the verdict whether a chain of certificates speaks for a unit.

Signatures over bundles are checked in `signing` with the key that a verdict gives. Paths are built in `paths`; here they are judged by the
receiver's clock ± tolerance, and by the newest CRL, which counts until some days after its nextUpdate and then speaks for nobody.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker.settings.model import CRL_GRACE_DAYS, Home, Partner, Settings
from broker.trust.crls import AUTHORITIES, Crl, CrlShelf, HeldCrl, Revocation, revocations
from broker.trust.keys import fingerprint_of
from broker.trust.paths import Chain, build_chain, check_clock, read_anchor, read_chain
from schemas.errors import DistrustError, SettingsError
from schemas.names import Party

log = structlog.get_logger()

CRL_GRACE = timedelta(days=CRL_GRACE_DAYS)
_VERDICTS = 4_096  # chains remembered: more than all units of all partners; a flood of strange ones only costs the memory of it


@dataclass(frozen=True, slots=True)
class Speaker:
    """The verdict on a chain: it speaks for `urn` from `not_before_utc` to `not_after_utc` (of the whole path), with `key`.

    `crls` are the lists that it was not revoked on, of the issuers from the leaf's up to the anchor, as far as there are any.
    `stale_from_utc` is when the first of the CRLs held for the path has run out, days of grace included; None while none is held.
    """

    urn: str
    country: str
    fingerprint: str
    not_before_utc: datetime
    not_after_utc: datetime
    stale_from_utc: datetime | None
    key: ec.EllipticCurvePublicKey = field(repr=False)
    crls: tuple[Crl, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Expiry:
    """When something of the trust store runs out: `kind` is `anchor` or `crl`; `state` is `current`, `expired`, `stale` or `missing`.

    `mark` is the anchor's fingerprint or the CRL's number.
    """

    kind: str
    country: str
    expires_at_utc: datetime | None
    state: str
    crl_number: int | None = None
    since_utc: datetime | None = None
    mark: str = ""


class _Anchor:
    """One country's pinned certificate and where it was read from."""

    def __init__(self, country: str, path: Path) -> None:
        self.country = country
        self.path = path
        self._stamp = self._stat()
        self.certificate = read_anchor(path)

    def reload(self) -> bool:
        """Read the file again where it changed; a broken one is logged, and the anchor that was pinned stays."""
        stamp = self._stat()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.certificate = read_anchor(self.path)
        except SettingsError as error:
            log.warning("anchor.refused", country=self.country, reason=str(error))
            return False
        log.info("anchor.taken", country=self.country, fingerprint=fingerprint_of(self.certificate))
        return True

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self.path)
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


class TrustStore:
    """Whom we believe. Safe to use from several threads; `reload` is cheap while no file has changed."""

    def __init__(
        self,
        anchors: Mapping[str, Path],
        crls: Mapping[str, Path],
        tolerance_seconds: float = 300,
        crl_grace_days: Mapping[str, int] | None = None,
    ) -> None:
        """Pin each country's anchor (one certificate in PEM); `crls` names each country's directory, `crl_grace_days` how long one is
        believed past its nextUpdate (`CRL_GRACE_DAYS` where it says nothing). SettingsError for a broken anchor.
        """
        self._tolerance = timedelta(seconds=tolerance_seconds)
        self._grace = {country: timedelta(days=days) for country, days in (crl_grace_days or {}).items()}
        self._lock = threading.Lock()
        self._anchors = {country: _Anchor(country, path) for country, path in anchors.items()}
        self._shelves = {country: CrlShelf(country, crls[country]) for country in anchors if country in crls}
        self._verdicts: dict[bytes, Speaker] = {}
        self._intermediates: dict[str, dict[str, x509.Certificate]] = {}
        self.reload()

    @classmethod
    def of(cls, settings: Settings) -> TrustStore:
        """The trust store that exchange.toml describes: every partner's anchor, and our own where the home lane is used."""
        pinned: dict[str, Partner | Home] = dict(settings.partners)
        if settings.home is not None:
            pinned[settings.country] = settings.home
        return cls(
            {country: each.anchor for country, each in pinned.items()},
            {country: each.crls for country, each in pinned.items()},
            settings.clock_tolerance_seconds,
            {country: each.crl_grace_days for country, each in pinned.items()},
        )

    def reload(self) -> bool:
        """Take up changed anchors and CRLs; say whether anything changed. Verdicts given before are then judged afresh."""
        with self._lock:
            changed = [anchor.reload() for anchor in self._anchors.values()] + [shelf.reload() for shelf in self._shelves.values()]
            if any(changed):
                self._verdicts = {}
                for country, shelf in self._shelves.items():
                    shelf.newest(self._anchors[country].certificate)
            return any(changed)

    def speaker(self, x5c: Sequence[str], country: str | None, now_utc: datetime, *, brings_crl: bool = False) -> Speaker:
        """Judge a chain as it travels (base64 of DER, leaf first); DistrustError `trust-…` says why it does not speak for anyone.

        `country`, where given, is the only one that may speak. With `brings_crl` a stale CRL is no hindrance: who brings the next one
        must be let in. A verdict is remembered until a file changes; what the clock says is judged each time.
        """
        chain = hashlib.sha256("\n".join(x5c).encode()).digest()  # a partner's chains may be large, and as many as it likes
        verdicts = self._verdicts  # a reload meanwhile swaps the dictionary: what is then stored in the old one is forgotten
        found = verdicts.get(chain)
        if found is None:
            found = self._judge(tuple(x5c), country, now_utc)
            if len(verdicts) >= _VERDICTS:
                verdicts.clear()
            verdicts[chain] = found
        if country is not None and found.country != country:
            raise DistrustError("trust-country-mismatch", f"only {country} may speak here", field="x5c", value=found.urn)
        check_clock(found.not_before_utc, found.not_after_utc, now_utc, self._tolerance)
        if not brings_crl and found.stale_from_utc is not None and now_utc - self._tolerance > found.stale_from_utc:
            text = "the newest CRL of its authority ran out, days of grace included: who was revoked since is not known"
            raise DistrustError("trust-crl-stale", text, field="x5c", value=found.stale_from_utc.isoformat())
        return found

    def recipient(self, chain: Sequence[x509.Certificate], party: Party, now_utc: datetime) -> Speaker:
        """Judge a unit's encryption certificate, leaf first, as `speaker` does, but for keyAgreement; DistrustError `trust-…`."""
        ders = [each.public_bytes(serialization.Encoding.DER) for each in chain if each.subject != each.issuer]
        x5c = tuple(base64.b64encode(der).decode() for der in ders)
        found = self._judge(x5c, party.country, now_utc, usage="key_agreement")
        if found.urn != party.urn:
            raise DistrustError("trust-name", f"it is another unit's than {party.urn}", field="x5c", value=found.urn)
        return found

    def crls_over(self, country: str, x5c: Sequence[str]) -> tuple[Crl, ...]:
        """The newest CRL of each issuer of a chain of this country, its anchor's last, whatever they say of it; DistrustError `trust-…`
        where the chain cannot be read.
        """
        return tuple(crl for _, crl in self._issued(country, x5c))

    def revocation(self, country: str, x5c: Sequence[str]) -> Revocation | None:
        """The earliest revocation of a chain's certificates that the newest CRLs know; DistrustError where the chain cannot be read."""
        found = [each for issued, crl in self._issued(country, x5c) for each in revocations(issued, [crl])]
        return min(found, key=Revocation.age, default=None)

    def _issued(self, country: str, x5c: Sequence[str]) -> list[tuple[x509.Certificate, Crl]]:
        """Each certificate of a chain with the newest CRL of its issuer, as far as there is one."""
        chain = read_chain(x5c)
        with self._lock:
            anchor, shelf = self._anchors.get(country), self._shelves.get(country)
            if anchor is None or shelf is None:
                return []
            pairs = [(issued, shelf.newest(issuer)) for issued, issuer in itertools.pairwise((*chain, anchor.certificate))]
            return [(issued, crl) for issued, crl in pairs if crl is not None]

    @property
    def countries(self) -> frozenset[str]:
        """Those with a pinned anchor."""
        return frozenset(self._anchors)

    def held_crls(self, country: str) -> list[HeldCrl]:
        """The newest CRL of each authority of a country, as far as its chains were seen here; none for a country without a directory."""
        with self._lock:
            shelf = self._shelves.get(country)
            return shelf.held() if shelf is not None else []

    def take_crl(self, country: str, der: bytes, number: int | None = None) -> bool:
        """Keep a CRL that came as a control event from `country`; say whether it was newer than the one held.

        DistrustError `crl-invalid` unless it is signed by the country's anchor or by an intermediate of it seen in a trusted chain, and
        has the `number` that was said.
        """
        with self._lock:
            shelf = self._shelves.get(country)
            if shelf is None:
                raise DistrustError(
                    "trust-country-unknown", "no anchor is pinned, or no directory for CRLs is set, for the country", value=country
                )
            issuers = (self._anchors[country].certificate, *self._intermediates.get(country, {}).values())
            last = DistrustError("crl-invalid", "the CRL is not signed by its authority", value=country)
            for issuer in issuers:
                try:
                    taken = shelf.take(der, issuer, number)
                except DistrustError as error:
                    last = error
                    continue
                if taken:
                    shelf.newest(issuer)
                    self._verdicts = {}
                return taken
            raise last

    def expiries(self, now_utc: datetime) -> list[Expiry]:
        """Anchors and CRLs with the day they run out: the anchors' own, and of intermediates that were seen. `stale`: past its grace."""
        with self._lock:
            found = []
            for country, anchor in sorted(self._anchors.items()):
                pinned = anchor.certificate
                since, until = pinned.not_valid_before_utc, pinned.not_valid_after_utc
                state = "expired" if until < now_utc else "current"
                found.append(Expiry("anchor", country, until, state, since_utc=since, mark=fingerprint_of(pinned)))
                shelf = self._shelves.get(country)
                if shelf is None or shelf.newest(pinned) is None:
                    found.append(Expiry("crl", country, None, "missing"))
                issuers = {fingerprint_of(pinned), *self._intermediates.get(country, {})}  # a former anchor's list counts no more
                found += [self._expiry_of(crl, now_utc) for crl in (shelf.held() if shelf else ()) if crl.issuer in issuers]
            return found

    def _expiry_of(self, crl: HeldCrl, now_utc: datetime) -> Expiry:
        until, grace = crl.next_update_utc, self._grace.get(crl.country, CRL_GRACE)
        state = "current" if now_utc <= until else "expired" if now_utc <= until + grace else "stale"
        return Expiry("crl", crl.country, until, state, crl.number, crl.this_update_utc, f"{crl.issuer[:12]} {crl.number}")

    def _judge(self, x5c: tuple[str, ...], country: str | None, now_utc: datetime, usage: str = "digital_signature") -> Speaker:
        anchors = {of_country: anchor.certificate for of_country, anchor in self._anchors.items()}
        chain = build_chain(x5c, anchors, now_utc, self._tolerance, country=country, usage=usage)
        with self._lock:
            crls = self._check_revocation(chain)
        stale_from = min(crl.next_update_utc for crl in crls) + self._grace.get(chain.party.country, CRL_GRACE) if crls else None
        party, fingerprint = chain.party, fingerprint_of(chain.path[0])
        return Speaker(party.urn, party.country, fingerprint, chain.not_before_utc, chain.not_after_utc, stale_from, chain.key, crls)

    def _check_revocation(self, chain: Chain) -> tuple[Crl, ...]:
        """Refuse a path with a revoked certificate; give the CRLs held for it, the leaf's issuer's first."""
        country = chain.party.country
        seen = self._intermediates.setdefault(country, {})
        for intermediate in chain.path[1:-1]:
            seen[fingerprint_of(intermediate)] = intermediate
            if len(seen) > AUTHORITIES:
                del seen[next(iter(seen))]
        shelf = self._shelves.get(country)
        held = []
        for issued, issuer in itertools.pairwise(chain.path):
            crl = shelf.newest(issuer) if shelf else None
            if crl is None:
                continue
            if crl.revokes(issued.serial_number):
                raise DistrustError(
                    "trust-revoked", "a certificate of the chain is revoked", field="x5c", value=f"{issued.serial_number:x}"
                )
            held.append(crl)
        return tuple(held)
