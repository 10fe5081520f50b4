"""The log of the code under attack: rendered as the daemons do, looked at, and thrown away."""

from __future__ import annotations

import io

import structlog

from broker.logs import processors


class Sink(io.StringIO):
    """Takes log lines; remembers how much was said, and lines that would do something to a terminal or pretend to be several."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0
        self.bytes = 0
        self.longest = 0
        self.harmful: list[str] = []

    def write(self, text: str) -> int:
        """Take one line, with or without its end."""
        line = text.rstrip("\n")
        if line:
            self.lines += 1
            self.bytes += len(line.encode(errors="replace"))
            self.longest = max(self.longest, len(line))
            if not line.isprintable() and len(self.harmful) < 3:
                self.harmful.append(ascii(line)[:300])
        return len(text)


def quieten() -> Sink:
    """Send all log events of this process to a sink, as JSON lines like a daemon's."""
    sink = Sink()
    structlog.configure(
        processors=[*processors(), structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(file=sink),
        cache_logger_on_first_use=False,
    )
    return sink
