"""The loader of record: declarations, their items and crossing events in the relational schema of `docs/database.md`."""

from consumers.loaders.record.loader import load_record

__all__ = ["load_record"]
