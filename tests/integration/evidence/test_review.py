"""After a theft: what came with the stolen key, by when it came and what it claims, on both databases."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from typer.testing import CliRunner, Result

from consumers.backdating import Why, why
from consumers.trust_commands import commands
from tests.integration.consumers.frontier import declaration
from tests.integration.evidence.river import POST, River
from tests.unit.trust.certificates import NOW


def review(river: River, *words: str) -> Result:
    return CliRunner().invoke(commands, ["review", "--config", str(river.af.config), *words])


def documents(result: Result) -> Any:
    return json.loads(result.stdout[result.stdout.index("[\n") :])


def test_nothing_is_listed_while_nobody_is_revoked(river: River) -> None:
    assert review(river).exit_code == 0  # of nothing
    river.cross(declaration(1))
    told = review(river)
    assert told.exit_code == 0
    assert "No certificate" in told.stdout


def test_what_came_after_the_revocation_or_shortly_before_it_is_listed_by_certificate(river: River) -> None:
    began = river.clock()
    river.new_crls(days=100)
    river.ahead = timedelta(days=1)
    river.cross(declaration("early"))
    river.ahead = timedelta(days=40)
    river.cross(declaration("shortly-before"))
    revoked_at = began + timedelta(days=45)
    river.ahead = timedelta(days=50)  # the thief's, before the new CRL came here
    river.carry(river.accept(declaration("backdated")), signed_at=began + timedelta(days=44))
    river.carry(river.accept(declaration("bold")))
    river.revoke(revoked_at)
    told = review(river, "--json")
    assert told.exit_code == 1
    (certificate,) = documents(told)
    assert (certificate["unit"], certificate["earlier"]) == (POST.urn, 1)
    listed = [(event["reference"].rpartition("/")[2], event["why"], event["fate"]) for event in certificate["events"]]
    assert listed == [
        ("shortly-before", Why.CAME_SHORTLY_BEFORE, "LOADED"),
        ("backdated", Why.CAME_AFTER, "LOADED"),
        ("bold", Why.SIGNED_AFTER, "LOADED"),
    ]
    (none_before,) = documents(review(river, "--json", "--before-days", "0"))
    assert [event["reference"].rpartition("/")[2] for event in none_before["events"]] == ["backdated", "bold"]
    (from_the_theft,) = documents(review(river, "--json", "--since", (began + timedelta(days=44)).isoformat()))
    assert (len(from_the_theft["events"]), from_the_theft["earlier"]) == (2, 2)
    table = review(river, "--limit", "2")
    assert table.exit_code == 1
    assert "backdated" in table.stdout
    assert "1 more" in table.stdout


def test_where_nothing_came_since_there_is_nothing_to_look_at(river: River) -> None:
    river.cross(declaration(1))
    river.ahead = timedelta(days=60)
    river.revoke(river.clock())
    told = review(river, "--json")
    assert told.exit_code == 0
    (certificate,) = documents(told)
    assert (certificate["events"], certificate["earlier"]) == ([], 1)


def test_the_day_of_coming_and_the_claimed_one_decide_why() -> None:
    day = timedelta(days=1)
    assert why(NOW - day, NOW - day, NOW) is Why.CAME_SHORTLY_BEFORE
    assert why(NOW + day, NOW - day, NOW) is Why.CAME_SHORTLY_BEFORE
    assert why(NOW - day, NOW, NOW) is Why.CAME_AFTER
    assert why(NOW, NOW, NOW) is Why.SIGNED_AFTER
