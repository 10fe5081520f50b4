"""The run: every fault on one laboratory, then every control, and what came of each. What is counted stands in `invariants`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from deploy.lab.laboratory import laboratory
from tests.faults import invariants
from tests.faults.fault import Breach, Control, Fault
from tests.faults.invariants import Account
from tests.faults.namespace import missing
from tests.faults.report import Report, Row
from tests.faults.scene import DAEMONS, POLL_SECONDS, Form, Scene, prepare
from tests.faults.soak import Soak

QUIET_SECONDS = 0.3  # so long must nothing be pending
QUIET_CONTROL_SECONDS = 1.5  # without a defence, what seems finished may not be
CONTROL_TRIES = 3  # a control shows that a breach can be seen: where chance spared it once, it is tried again
STILL_SECONDS = 6.0  # what is unsettled in a control, and has not changed for so long, stays so: three graces of the laboratory


class Suite:
    """One run. `row` results go into the report as they come."""

    def __init__(self, form: Form, report: Report, keep: Path | None) -> None:
        self._form = form
        self._report = report
        self._keep = keep
        self._stages = 0
        self._stage: ExitStack | None = None
        self._scene: Scene | None = None

    @contextmanager
    def staged(self) -> Iterator[None]:
        """Everything that was started ends with it."""
        try:
            yield
        finally:
            self._clear()

    def strike(self, rows: Sequence[Row]) -> None:
        """Every fault, with all defences."""
        for row in rows:
            if row.fault.root and (lacking := missing()):
                row.skipped = f"not run: this machine lacks {lacking}"
            else:
                self._strike(row)

    def control(self, rows: Sequence[Row]) -> None:
        """Every fault again, without the defence that its control names."""
        for row in sorted(rows, key=_by_weakness):
            if isinstance(row.fault.control, str):
                row.control = f"none: {row.fault.control}"
            elif not row.skipped:
                for _ in range(CONTROL_TRIES):
                    self._control(row, row.fault.control)
                    if row.control_broke:
                        break

    def soak(self, row: Row, soak: Soak, faults: Sequence[Fault]) -> None:
        """Strike at random until the soak's time is over."""
        try:
            soak.run(faults, self._struck, row)
        except Exception as error:  # noqa: BLE001  the outermost edge of a row
            row.failure = f"{soak.told}: {type(error).__name__}: {error}"
        row.note = soak.told
        if not row.whole:
            self._clear()

    def _strike(self, row: Row) -> None:
        self._report.tell(f"{row.fault.name}: {row.fault.does}")
        try:
            row.account, row.recovery_seconds = self._struck(row.fault)
            row.measures = list(self._on_stage().measures)
        except Exception as error:  # noqa: BLE001  the outermost edge of a row: it failed, the others are to be tried
            row.failure = f"{type(error).__name__}: {error}"
        if not row.whole:
            self._clear()  # what follows is to be judged by itself

    def _struck(self, fault: Fault) -> tuple[Account, float]:
        """Strike, wait, count; gives the account and the seconds of the recovery."""
        scene = self._on_stage()
        scene.do_without({})
        recovery = self._under_load(scene, fault.run, lambda over: _quiet(scene, over + fault.patience_seconds))
        return _account(scene), recovery

    def _control(self, row: Row, control: Control) -> None:
        self._report.tell(f"control of {row.fault.name}: {control.says}")
        try:
            scene = self._on_stage()
            scene.do_without(control.without)
            with control.around(scene) if control.around else nullcontext():
                patience = max(10.0, 3 * (row.recovery_seconds or 0.0) + 3)
                self._under_load(scene, row.fault.run, lambda over: _still(scene, over + patience))
                found = _account(scene)
        except Exception as error:  # noqa: BLE001  likewise
            row.control, row.control_broke = f"{control.says}: it did not run: {error}", False
            self._clear()
            return
        broken = found.breaches[control.breaks]
        row.control, row.control_broke = f"{control.says}: {broken} {control.breaks.value}", broken > 0
        if control.ruins:
            self._clear()

    def _under_load(self, scene: Scene, run: Callable[[Scene], None], settle: Callable[[float], float]) -> float:
        """Strike under load, wait, and give the seconds from the end of the fault until all was settled."""
        with scene.under_load():
            for way in (0, 1):
                scene.settles(5, way)
            run(scene)
        over = time.monotonic()
        return settle(over) - over

    def _on_stage(self) -> Scene:
        """The scene; a new laboratory where there is none."""
        if self._scene is not None:
            return self._scene
        stage = ExitStack()
        self._stage = stage
        self._stages += 1
        keep = self._keep / f"{self._stages}" if self._keep else None
        lab = stage.enter_context(laboratory("postgresql", tell=self._report.tell, keep=keep))
        prepare(lab)
        scene = self._scene = Scene(lab, self._form, self._report.tell)
        for name in DAEMONS:
            scene.start(name)
        return scene

    def _clear(self) -> None:
        stage, self._stage, self._scene = self._stage, None, None
        if stage is not None:
            stage.close()


def _by_weakness(row: Row) -> tuple[bool, str, str]:
    """Controls that do without the same defences follow each other; those that leave ruins come last."""
    control = row.fault.control
    return (True, "", "") if isinstance(control, str) else (control.ruins, repr(sorted(control.without.items())), row.fault.name)


def _quiet(scene: Scene, end: float) -> float:
    """Wait until nothing is pending and nothing is missed; give the moment since when, or the end where that did not come.

    Where all is settled and the house lacks something all the same, it is for the posts to find that out and send it again.
    """
    since: float | None = None
    while (now := time.monotonic()) < end:
        if not scene.is_quiet():
            since = None
        elif since is None:
            since = now
        elif now - since >= QUIET_SECONDS:
            if not invariants.account(scene.wave).breaches[Breach.LOST]:
                return since
            since = None
        time.sleep(POLL_SECONDS)
    return end


def _still(scene: Scene, end: float) -> float:
    """Wait until nothing is pending, or until what is pending has had its time and does not change any more."""
    pending, since = -1, time.monotonic()
    while True:
        now = time.monotonic()
        found = scene.pending_or_away()
        if found != pending:
            pending, since = found, now
        if (found == 0 and now - since >= QUIET_CONTROL_SECONDS) or (now > end and now - since >= STILL_SECONDS):
            return since
        time.sleep(POLL_SECONDS)


def _account(scene: Scene) -> Account:
    found = invariants.account(scene.wave)
    for measure in scene.measures:
        if measure.value > measure.bound:
            found.note(Breach.OVER, f"{measure.name} {measure.value:g}, at most {measure.bound:g}")
    return found


def rows_of(faults: Sequence[Fault], form: Form) -> list[Row]:
    """The rows of a form of the run: the short one is a choice, the long one is everything."""
    return [Row(fault) for fault in faults if form is Form.LONG or (fault.short if form is Form.SHORT else not fault.long)]
