"""Two administrations on disk, a post's outbox on one bank and a house's database on the other; what crosses is carried over by hand."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, make_url
from typer.testing import CliRunner, Result

from broker.bundle.open import Expected, open_message
from broker.bundle.pack import Route, control_event, pack
from broker.evidence import commands as evidence_commands
from broker.outbox.closing_values import ManifestSent, RunBegun, StreamName, StreamRun
from broker.outbox.store import Outbox
from broker.outbox.values import Draft, Occurrences, OutboxRow, Relayed, WithdrawalWish
from broker.ports import Delivery, Message
from broker.relay.arrivals import Mailbox
from broker.settings.model import ConsumerSettings
from broker.trust.anchors import TrustStore
from broker.trust.keys import Identity
from broker.trust.sealing import DecryptionKeys, recipients_of
from broker.trust.signing import b64url
from consumers import migrations
from consumers.answers import receipts
from consumers.closing import ClosingBook
from consumers.control import expectations
from consumers.database import open_engine
from consumers.evidence import EvidenceRow
from consumers.opening import InHand
from consumers.pipeline import Pipeline
from consumers.registry import load_consumer
from consumers.withdrawals import take_withdrawals
from deploy.lab.administrations import AFGHAN, TAJIK, Administration, Timing
from schemas.closing import block_digest, spans
from schemas.content import canonical_bytes
from schemas.event import digest_of, utc_text
from schemas.names import STREAM_TYPES, EventType, Party
from tests.integration.consumers.frontier import Hand

POST, HOUSE = Party("tj", "panji-poyon"), Party("af", "customs")
EXPORT = EventType.EXPORT_DECLARATION.value


def without_password(url: str, file: Path) -> str:
    """The URL as settings may have it: the password in a file."""
    parsed = make_url(url)
    if parsed.password is None:
        return url
    file.write_text(f"*:*:*:*:{parsed.password}")
    file.chmod(0o600)
    return f"{url.replace(f':{parsed.password}@', '@')}?passfile={file}"


class River:
    """Both banks. `ahead` turns every clock of this test."""

    def __init__(self, directory: Path, outbox_url: str, house_url: str, *, encrypted: bool = False) -> None:
        self.directory = directory
        self.ahead = timedelta()
        self.tj, self.af = Administration(TAJIK, directory / "tj"), Administration(AFGHAN, directory / "af")
        self.tj.befriend(self.af)
        self.af.befriend(self.tj)
        nowhere = "http://127.0.0.1:1"
        for side, partner, database in (
            (self.tj, "af", f"sqlite:///{directory}/tj-house.sqlite"),
            (self.af, "tj", without_password(house_url, directory / "pgpass-house")),
        ):
            side.write_settings(
                amqps_port=1,
                management_url=nowhere,
                database=database,
                partner=partner,
                partner_port=1,
                timing=Timing(),
                encrypted=encrypted,
            )
        bare = without_password(outbox_url, directory / "pgpass-outbox")
        text = self.tj.config.read_text().replace(f"sqlite:///var/{POST.name}/outbox.sqlite", bare)
        self.tj.config.write_text(text)
        self.outbox = Outbox.open(outbox_url, POST, "test", self.clock, recipients_of(self.tj.settings, self.clock()))
        self.engine: Engine = open_engine(house_url)
        migrations.make_ready(self.engine)
        self.trust = TrustStore.of(self.af.settings)
        consumer = load_consumer(ConsumerSettings(queue="record", types=tuple(STREAM_TYPES), handler="consumers.loaders.record"))
        house = self.af.settings.house
        assert house is not None
        keys = DecryptionKeys.load(house)
        expected = expectations("af", ["tj"], "test")
        self.pipeline = Pipeline(consumer, self.engine, self.trust, expected, threading.Event(), self.clock, keys)

    def clock(self) -> datetime:
        """The time that all clocks show."""
        return datetime.now(UTC) + self.ahead

    def close(self) -> None:
        """End what was opened."""
        self.outbox.close()
        self.engine.dispose()

    @property
    def sender(self) -> Identity:
        """The post's key of this moment."""
        pair = self.tj.settings.posts[POST.name]
        return Identity.load(pair.key, pair.certificate)

    @property
    def receiver(self) -> Identity:
        """The house's key."""
        house = self.af.settings.house
        assert house is not None
        return Identity.load(house.key, house.certificate)

    def accept(self, *declared: dict[str, Any]) -> list[OutboxRow]:
        """Put declarations into the outbox; their rows, and those that waited before."""
        drafts = [
            Draft(
                HOUSE,
                EXPORT,
                f"{data['administration'].upper()}/{data['office_code']}/{data['registration_year']}/{data['registration_number']}",
                data.get("version", 1),
                digest_of(canonical_bytes(data)),
                data,
                "customs-control",
                "bilateral protocol",
            )
            for data in declared
        ]
        self.outbox.accept(drafts)
        return self.outbox.waiting(HOUSE.urn, 1_000, 10**8)

    def carry(self, rows: Sequence[OutboxRow], signed_at: datetime | None = None) -> list[tuple[str, Message]]:
        """Sign and carry events over, let the house load them; its receipts."""
        bundle = pack(
            Route(POST, HOUSE, EXPORT), [row.raw for row in rows], [row.digest for row in rows], self.sender, signed_at or self.clock()
        )
        self.outbox.record(Occurrences(relayed=[Relayed(tuple(row.position for row in rows), 1, self.clock())]))
        answers = self.pipeline.process([InHand(Delivery(bundle, "af-customs.record", 0, object()), "tj", Hand())])
        return receipts(answers, HOUSE, "test", self.receiver, self.clock())

    def bring_home(self, messages: Sequence[tuple[str, Message]]) -> None:
        """Let the post take the receipts."""
        mailbox = Mailbox("af", POST, "test", TrustStore.of(self.tj.settings))
        arrived = mailbox.open([Delivery(message, POST.unit, 0, object()) for _, message in messages], self.clock())
        assert not arrived.parked
        self.outbox.record(Occurrences(settlements=arrived.settlements, receipts=arrived.receipts, answers=arrived.answers))

    def cross(self, *declared: dict[str, Any]) -> None:
        """The whole way, there and back."""
        self.bring_home(self.carry(self.accept(*declared)))

    def withdraw(self, number: str) -> None:
        """The post takes an event back; its tombstone crosses, and the house's answer comes home."""
        self.outbox.withdraw(WithdrawalWish(number, "typed twice", None, None), "rahim")
        (row,) = self.outbox.tombstones(HOUSE.urn, 10)
        route = Route(POST, HOUSE, EventType.WITHDRAWAL.value)
        bundle = open_bundle(pack(route, [row.raw], [row.digest], self.sender, self.clock()), self.trust, self.clock())
        signature = EvidenceRow(digest_of(bundle.jws.encode()), bundle.jws, bundle.signatory, self.clock())
        taken = take_withdrawals(bundle, signature, self.engine, threading.Event(), self.clock)
        self.bring_home(receipts(taken.answers, HOUSE, "test", self.receiver, self.clock()))

    def close_account(self) -> None:
        """The post states all its events, and the house agrees."""
        (stream,) = self.outbox.streams()
        name = StreamName(stream.type, stream.epoch)
        blocks = [
            {"first": first, "last": last, "digest": b64url(block_digest(self.outbox.closings.block(HOUSE.urn, name, first, last)))}
            for first, last in spans(1, stream.last_sequence)
        ]
        said = {
            "number": 1,
            "closed_at": utc_text(self.clock()),
            "streams": [{"type": stream.type, "epoch": stream.epoch, "last": stream.last_sequence, "blocks": blocks}],
        }
        raw = control_event(
            EventType.MANIFEST.value,
            POST,
            HOUSE,
            environment="test",
            purpose="exchange-control",
            legal_basis="protocol",
            subject="closing 1",
            data=said,
            now=self.clock(),
        )
        message = pack(Route(POST, HOUSE, EventType.MANIFEST.value), [raw], [digest_of(raw)], self.sender, self.clock())
        bundle = open_bundle(message, self.trust, self.clock())
        run = StreamRun(type=stream.type, epoch=stream.epoch, start=1, target=stream.last_sequence, done=0)
        sent = ManifestSent(HOUSE.urn, 1, digest_of(raw), 1, self.clock(), len(blocks), again=False, jws=bundle.jws, raw=raw)
        begun = RunBegun(HOUSE.urn, "daily", everything=False, streams=(run,), begun_at_utc=self.clock())
        self.outbox.record(Occurrences(runs=[begun], manifests=[sent]))
        book = ClosingBook(self.engine, "test", 86_400, threading.Event(), self.clock)
        self.bring_home([("tj", book.answer(bundle.route, bundle.events[0], bundle.jws, self.receiver))])

    def revoke(self, since: datetime | None = None) -> None:
        """Revoke the post's certificate, and give everybody the new CRL."""
        serial = next(each.serial for each in self.tj.authority.register.issued if each.urn == POST.urn)
        self.tj.authority.revoke(serial, now_utc=since)
        self._tell_crls()

    def new_crls(self, days: int) -> None:
        """New lists of both authorities, good for so long, given to everybody."""
        for side in (self.tj, self.af):
            side.authority.write_crl(days=days)
        self._tell_crls()

    def _tell_crls(self) -> None:
        for side in (self.tj, self.af):
            for authority in (self.tj.authority, self.af.authority):
                side.trust(authority)
        self.trust.reload()

    def export(self, side: Administration, number: str, name: str, *words: str) -> Result:
        """Type `panj evidence export …`."""
        place = self.directory / name
        return CliRunner().invoke(
            evidence_commands.commands, ["export", number, "--config", str(side.config), "--out", str(place), "--json", *words]
        )

    def verify(self, name: str, *words: str, both: bool = True) -> Result:
        """Type `panj evidence verify … --json`."""
        trust = [word for side in ([self.tj, self.af] if both else [self.tj]) for word in ("--trust", str(side.authority.anchor))]
        return CliRunner().invoke(evidence_commands.commands, ["verify", str(self.directory / name), *trust, "--json", *words])


def open_bundle(message: Message, trust: TrustStore, now: datetime) -> Any:
    """Open what the post sent to the house."""
    return open_message(message, trust, Expected("tj", HOUSE, "test"), now)
