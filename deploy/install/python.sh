#!/usr/bin/env bash
# Prints the Python to build .venv from: $PYTHON, else the first of these that is 3.11 or newer and can make virtual environments.
set -euo pipefail

found=()
for name in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    path=$(command -v "$name" 2>/dev/null) || continue
    version=$("$path" -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue
    found+=("$path is $version")
    if "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && "$path" -m ensurepip --version >/dev/null 2>&1; then
        # Not a shim that another folder's settings may lead elsewhere, nor a virtual environment's own: the interpreter itself.
        "$path" -c 'import os, sys; print(os.path.join(sys.base_prefix, "bin", os.path.basename(os.path.realpath(sys.executable))))'
        exit 0
    fi
done
echo "Panj needs Python 3.11 or newer with venv (Debian: python3-venv). Found: ${found[*]:-no Python at all}" >&2
exit 1
