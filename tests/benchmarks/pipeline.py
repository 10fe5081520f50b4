"""What the customs house's pipeline costs per declaration: open, verify, validate, load and answer, without a broker.

Run: python -m tests.benchmarks.pipeline URL [DECLARATIONS] [BUNDLE]; the last line is JSON. The database must be empty or Panj's own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy import text

from broker.settings.model import ConsumerSettings
from consumers import answers, migrations
from consumers.database import open_engine
from consumers.pipeline import Pipeline
from consumers.registry import load_consumer
from schemas.names import STREAM_TYPES
from tests.integration.consumers.frontier import HOUSE, Frontier, declaration


def main(url: str, count: int = 20_000, bundle: int = 500) -> None:
    """Take `count` declarations in and print what one costs."""
    engine = open_engine(url)
    migrations.make_ready(engine)
    consumer = load_consumer(ConsumerSettings(queue="record", types=tuple(STREAM_TYPES), handler="consumers.loaders.record"))
    with tempfile.TemporaryDirectory() as directory:
        frontier = Frontier(Path(directory))
        prefix = str(time.time_ns())[-9:]
        raws = [frontier.post.event(declaration(f"{prefix}-{number}")) for number in range(count)]
        waiting = frontier.deliveries(raws, size=bundle)
        pipeline = Pipeline(consumer, engine, frontier.trust, frontier.expected, threading.Event())
        group = max(1, 500 // bundle)
        server = _server_seconds(engine)
        began, cpu = time.perf_counter(), time.process_time()
        loaded = 0
        for start in range(0, len(waiting), group):
            told = pipeline.process(waiting[start : start + group])
            answers.receipts(told, HOUSE, "test", frontier.house_identity, datetime.now(UTC))
            loaded += sum(answer.fate.value == "LOADED" for answer in told)
        wall, own = time.perf_counter() - began, time.process_time() - cpu
        served = _server_seconds(engine) - server
    result = {
        "declarations": count,
        "loaded": loaded,
        "event_bytes": len(raws[0]),
        "per_second": round(count / wall),
        "own_cpu_us": round(own / count * 1e6, 1),
        "server_cpu_us": round(served / count * 1e6, 1),
    }
    sys.stdout.write(json.dumps(result) + "\n")


def _server_seconds(engine: object) -> float:
    if engine.dialect.name != "postgresql":  # type: ignore[attr-defined]
        return 0.0
    with engine.connect() as connection:  # type: ignore[attr-defined]
        times = psutil.Process(connection.execute(text("SELECT pg_backend_pid()")).scalar_one()).cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
