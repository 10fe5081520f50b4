"""Fates told back to the national system: `teller` tells in order and tries again, as `files`, `callbacks` or `rows`."""
