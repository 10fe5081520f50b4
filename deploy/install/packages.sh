#!/usr/bin/env bash
# Installs from the distribution what is missing of: python (3.11 or newer, with venv), rabbitmq, postgresql, network (iproute2, iptables).
#
#   packages.sh rabbitmq postgresql
#
# The servers are never started and never enabled: Panj's laboratory runs private nodes of its own from the same programs.
# Where this machine can't be helped it says once what to install and exits 1.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=say.sh
source "$here/say.sh"

readonly GUARD=/usr/sbin/policy-rc.d SAVED=/usr/sbin/policy-rc.d.before-panj
readonly MARK='written by Panj'\''s packages.sh for the time of one installation'

has_python() { "$here/python.sh" >/dev/null 2>&1; }
has_rabbitmq() { [ -e /usr/lib/rabbitmq/bin/rabbitmq-server ] && command -v epmd >/dev/null; }
has_postgresql() { compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }
has_network() { command -v ip >/dev/null && command -v tc >/dev/null && command -v iptables >/dev/null; }

packages_of() {
    case $1 in
        python) echo python3 python3-venv ;;
        rabbitmq) echo rabbitmq-server ;;
        postgresql) echo postgresql ;;
        network) echo iproute2 iptables ;;
        *) fail "packages.sh: unknown part '$1'; known are python, rabbitmq, postgresql, network" ;;
    esac
}

missing=() packages=()
for part in "$@"; do
    names=$(packages_of "$part")
    if ! "has_$part"; then
        missing+=("$part")
        read -ra more <<<"$names"
        packages+=("${more[@]}")
    fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

cannot() {
    fail "Missing on this machine: ${missing[*]}, and $1.
Please install, as root:   apt-get install ${packages[*]}
On another distribution the packages that bring: Python 3.11 or newer with venv; RabbitMQ 3.10 or newer with its programs
in /usr/lib/rabbitmq/bin; PostgreSQL 13 or newer with its programs in /usr/lib/postgresql/<version>/bin. None of them needs to run.
Without installing anything: deploy/compose/README.md shows the same two administrations in containers."
}

command -v apt-get >/dev/null || cannot "there is no apt-get to install from"
if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    cannot "installing needs root, or sudo without a password"
fi

# Debian's packages start their servers when installed unless policy-rc.d says 101. An existing one is put aside and put back,
# also by the next run where this one was killed.
restore() {
    if "${as_root[@]}" grep -qs "$MARK" "$GUARD"; then "${as_root[@]}" rm -f "$GUARD"; fi
    if [ -e "$SAVED" ] || [ -L "$SAVED" ]; then "${as_root[@]}" mv -f "$SAVED" "$GUARD"; fi
}

forbid_starting() {
    restore
    if [ -e "$GUARD" ] || [ -L "$GUARD" ]; then "${as_root[@]}" mv "$GUARD" "$SAVED"; fi
    printf '#!/bin/sh\n# %s\nexit 101\n' "$MARK" | "${as_root[@]}" tee "$GUARD" >/dev/null
    "${as_root[@]}" chmod 755 "$GUARD"
}

# The standard ports of the servers (epmd, PostgreSQL, AMQP with and without TLS, management) that somebody listens on.
listening() {
    local port hex
    for port in 4369 5432 5671 5672 15672; do
        hex=$(printf '%04X' "$port")
        if awk -v "port=$hex" '$4 == "0A" && $2 ~ ":" port "$" { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null; then
            echo "$port"
        fi
    done
}

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 NEEDRESTART_MODE=l \
        apt-get --quiet --yes -o DPkg::Lock::Timeout=300 "$@"
}

disable() {
    command -v systemctl >/dev/null || return 0
    local unit
    for unit in rabbitmq-server.service epmd.service epmd.socket postgresql.service; do
        if [ -e "/lib/systemd/system/$unit" ]; then "${as_root[@]}" systemctl disable --quiet "$unit" 2>&1 || return 1; fi
    done
}

lock() {
    exec 9>"${TMPDIR:-/tmp}/.panj-packages.$(id -u).lock"
    flock -w 600 9
}

install_packages() {
    step "package lists" apt update || return 1
    step "packages ${packages[*]}" apt install --no-install-recommends "${packages[@]}" || return 1
    step "their services stay off, also after the next boot" disable || return 1
}

lock
before=$(listening)
trap restore EXIT
trap 'exit 130' INT TERM HUP
forbid_starting
install_packages || cannot "installing failed as told above"
restore
trap - EXIT

for part in "${missing[@]}"; do
    "has_$part" || fail "$part was installed (${packages[*]}), but its programs are not where Debian 12 puts them."
done
started=$(comm -13 <(sort <<<"$before") <(sort <<<"$(listening)") | tr '\n' ' ')
[ -z "${started// /}" ] || fail "A service came up with the packages and listens on port $started: please stop it, Panj needs none."
