"""Secrets in files of their own: read only where nobody but their owner may. Units' own keys: `broker.trust.keys`."""

from __future__ import annotations

import os
from pathlib import Path

from schemas.errors import SettingsError

SECRET_BYTES = 1024 * 1024


def read_secret(path: Path) -> bytes:
    """Read a secret; SettingsError `secret-mode` where group or others have any right to the file, `file-unreadable` where it cannot be."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            content = file.read(SECRET_BYTES)
    except OSError as error:
        raise SettingsError("file-unreadable", f"cannot read the secret: {error.strerror}", field=str(path)) from None
    if mode & 0o077:
        raise SettingsError("secret-mode", 'others may read this secret: run "chmod 600" on it', field=str(path), value=f"{mode:04o}")
    return content
