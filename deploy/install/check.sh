#!/usr/bin/env bash
# Everything that is checked without running Panj: form, lint, types, import contracts, generated files, shell, documentation.
# All checks run, whatever fails; the exit code is 1 where one did.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=say.sh
source "$here/say.sh"
cd "$here/../.."
bin=.venv/bin
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT

failed=0
check() { step "$@" || failed=1; }

shell_syntax() {
    local script
    for script in deploy/install/*.sh .ci/run; do bash -n "$script" || return 1; done
}

check "form (ruff format)" $bin/ruff format --check .
check "lint (ruff check)" $bin/ruff check .
check "types (mypy --strict)" $bin/mypy
check "import contracts (import-linter)" $bin/lint-imports
check "generated schemas and error catalogue are current" $bin/python -m schemas.generate --check
check "shell scripts parse" shell_syntax
check "documentation (mkdocs --strict)" $bin/mkdocs build --quiet --strict --site-dir "$site"
exit $failed
