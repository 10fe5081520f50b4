"""What every table of exchange.toml is made of. The tables themselves stand in `model` and `sources`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table that cannot be changed and knows all of its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
