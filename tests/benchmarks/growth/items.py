"""What an item costs against how many of them a declaration has: at the post and at the house."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from broker.outbox.values import Draft
from tests.benchmarks.growth.curves import Curve
from tests.benchmarks.growth.house import BATCH, house_ground
from tests.benchmarks.growth.measuring import Form, Series, Tally
from tests.benchmarks.growth.post import ground
from tests.unit.outbox.drafts import draft

SIZES = (1, 3, 10, 30, 100, 300, 999)
ITEMS_AT_ONCE = 1_500  # about as many in each round, however they are shared out
TURNS = 4  # 1,500 declarations leave in two, and the confirms of the last are recorded in the third
ITEM = "µs an item"


def by_items(form: Form) -> list[Curve]:
    """Accept, relay and take in declarations with few items and with many: what each item costs goes flat."""
    series = Series()
    with ground() as post, house_ground() as house:
        for items in SIZES:
            count = max(1, ITEMS_AT_ONCE // items)
            tally = Tally()
            for _ in range(form.rounds):
                drafts = [_draft(each) for each in house.declarations(count, items)]
                with tally.of("accept", count * items):
                    post.outbox.accept(drafts)
                relay = post.frontier.new_relay(window_events=1_000_000, window_bytes=1 << 40)
                relay.open()
                with tally.of("relay turn", count * items):
                    for _ in range(TURNS):
                        relay.turn()
                relay.close()
                post.forget_sent()
            parts = [min(BATCH, count - start) for start in range(0, count, BATCH)]
            rounds = [[house.bundle(house.posts[0], part, items) for part in parts] for _ in range(form.rounds + 1)]
            tally.add("take in", house.cost_of_taking_in(rounds, count * items))
            series.add(items, tally.medians())
    return [Curve("items", name, "items in a declaration", ITEM, tuple(points)) for name, points in series.points.items()]


def _draft(data: dict[str, Any]) -> Draft:
    return replace(draft(f"items {data['registration_number']}"), data=data)
