"""Faults of our own daemons: killed at random points, killed at named points, told to stop, and one whose work is its death."""

from __future__ import annotations

import random

from tests.faults.fault import HOUSE, POST, Breach, Control, Fault, Run
from tests.faults.scene import Scene

PAUSE_SECONDS = (0.2, 1.2)
DEATHS = 9  # of one event; the house gives it up after five
DOES_NOT_SEND_AGAIN = {POST: ("resends",), HOUSE: ("late-acks",)}


def _killed_again_and_again(name: str) -> Run:
    def run(scene: Scene) -> None:
        for _ in scene.times(3, 6, 40):
            scene.wave.drop(150)
            scene.go_on(random.uniform(*PAUSE_SECONDS))
            scene.kill(name)
            scene.start(name)
            scene.settles(1)

    return run


def _dies(name: str, point: str) -> Run:
    def run(scene: Scene) -> None:
        for _ in scene.times(1, 2, 5):
            scene.dies(name, point)

    return run


def _stopped_in_mid_batch(scene: Scene) -> None:
    bad_ends = 0
    for _ in scene.times(1, 3, 20):
        for name in (POST, HOUSE):
            scene.wave.drop(300)
            scene.settles(1)
            scene.go_on(random.uniform(*PAUSE_SECONDS))
            bad_ends += scene.stop(name) != 0
            scene.start(name)
    scene.measure("bad ends", bad_ends, 0)


def _worker_dies_of_one_event(scene: Scene) -> None:
    scene.wave.drop(1, way=0, deadly=True)
    for _ in range(DEATHS):  # what a supervisor such as systemd does
        scene.wait("the worker dies, or its event is held", lambda: not scene.daemon(HOUSE).running or _deadly_is_settled(scene))
        if scene.daemon(HOUSE).running:
            return
        scene.start(HOUSE)


def _deadly_is_settled(scene: Scene) -> bool:
    return not scene.unfinished(0) & scene.wave.deadly


def _dies_migrating(scene: Scene) -> None:
    scene.stop(POST)
    scene.outbox_goes_back(1)
    scene.dies(POST, "mid-migration")


FAULTS = (
    Fault(
        "post-killed",
        "kill -9 of the post's daemon, again and again, at random points",
        _killed_again_and_again(POST),
        Control("files are put aside before they are accepted", Breach.LOST, {POST: ("accept-first",)}),
        short=True,
        soak=True,
    ),
    Fault(
        "post-dies-accepted-not-moved",
        "the post dies when a file's declarations are in the outbox and the file still lies where it was",
        _dies(POST, "accepted-not-moved"),
        Control("intake does not know what it accepted before", Breach.TWICE, {POST: ("intake-keys",)}, ruins=True),
        soak=True,
    ),
    Fault(
        "post-dies-accepted-not-relayed",
        "the post dies with events accepted and none of them relayed",
        _dies(POST, "accepted-not-relayed"),
        Control("what waits is kept in memory", Breach.UNSETTLED, {POST: ("outbox",)}),
        short=True,
        soak=True,
    ),
    Fault(
        "post-dies-confirmed-not-marked",
        "the post dies when the broker has confirmed bundles and no row says so",
        _dies(POST, "confirmed-not-marked"),
        Control("the house's inbox forgets", Breach.TWICE, {HOUSE: ("inbox",)}),
        short=True,
        soak=True,
    ),
    Fault(
        "post-dies-settled-half",
        "the post dies when half of a receipt's answers are written",
        _dies(POST, "settled-half"),
        Control("receipts are acknowledged first, and nothing is sent again", Breach.UNSETTLED, {POST: ("resends", "receipts-kept")}),
        soak=True,
    ),
    Fault(
        "house-killed",
        "kill -9 of the customs house's daemon, again and again, at random points",
        _killed_again_and_again(HOUSE),
        Control("deliveries are acknowledged first, and nothing is sent again", Breach.UNSETTLED, DOES_NOT_SEND_AGAIN),
        short=True,
        soak=True,
    ),
    Fault(
        "house-dies-loading",
        "the house dies between the rows of a batch and its commit",
        _dies(HOUSE, "loading-not-committed"),
        Control("the inbox rows have a transaction of their own", Breach.TWICE, {HOUSE: ("one-transaction",)}),
        short=True,
        soak=True,
    ),
    Fault(
        "house-dies-loaded-not-answered",
        "the house dies when a batch is loaded and no receipt has left",
        _dies(HOUSE, "loaded-not-answered"),
        Control("the house's inbox forgets", Breach.TWICE, {HOUSE: ("inbox",)}),
        soak=True,
    ),
    Fault(
        "house-dies-loaded-not-acked",
        "the house dies when its receipts are confirmed and the deliveries are not acknowledged",
        _dies(HOUSE, "loaded-not-acked"),
        Control("the house's inbox forgets", Breach.TWICE, {HOUSE: ("inbox",)}),
        soak=True,
    ),
    Fault(
        "post-dies-mid-migration",
        "a new version of the post dies in the middle of migrating its outbox",
        _dies_migrating,
        Control("each step of a migration is committed by itself", Breach.UNSETTLED, {POST: ("whole-migrations",)}, ruins=True),
    ),
    Fault(
        "stopped-in-mid-batch",
        "SIGTERM to the post and to the house in the middle of their work",
        _stopped_in_mid_batch,
        Control("they are deaf to it", Breach.OVER, {POST: ("sigterm",), HOUSE: ("sigterm",)}),
        soak=True,
    ),
    Fault(
        "worker-dies-of-one-event",
        "the worker that loads one of the events dies, again and again",
        _worker_dies_of_one_event,
        Control("nobody suspects a delivery that keeps coming back", Breach.UNSETTLED, {HOUSE: ("suspects",)}, ruins=True),
    ),
)
