#!/usr/bin/env bash
# Makes .venv from the hash-locked requirements-dev.txt, with Panj itself installed editable in it. Does nothing where it is
# up to date; makes it anew when the lock or the Python changed. Where packages come from is pip's own configuration.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=say.sh
source "$here/say.sh"
cd "$here/../.."

readonly VENV=.venv
readonly LOCK_MARK=$VENV/.lock PROJECT_MARK=$VENV/.project

# Two makes side by side must not both build it.
exec 9>"${TMPDIR:-/tmp}/.panj-venv.$(id -u).$(pwd | cksum | cut -d' ' -f1).lock"
flock -w 900 9

works() { [ -x $VENV/bin/python ] && $VENV/bin/python -c 'import pip' 2>/dev/null; }
pip() { $VENV/bin/python -m pip --disable-pip-version-check --no-input --quiet "$@"; }
is() { [ -e "$1" ] && [ "$(cat "$1")" = "$2" ]; }

lock=$(sha256sum requirements-dev.txt | cut -d' ' -f1)
project="$(pwd) $(sha256sum pyproject.toml | cut -d' ' -f1)"
if works && is $LOCK_MARK "$lock" && is $PROJECT_MARK "$project"; then
    exit 0
fi

if ! works || { [ -e $LOCK_MARK ] && ! is $LOCK_MARK "$lock"; }; then
    "$here/packages.sh" python
    python=$("$here/python.sh")
    step "virtual environment $VENV with $("$python" --version)" "$python" -m venv --clear $VENV
fi
if ! is $LOCK_MARK "$lock"; then
    step "Python packages from requirements-dev.txt" pip install --require-hashes -r requirements-dev.txt
    echo "$lock" >$LOCK_MARK
fi
step "Panj itself, editable" pip install --no-deps --no-build-isolation -e .
echo "$project" >$PROJECT_MARK
