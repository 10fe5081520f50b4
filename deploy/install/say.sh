# Shared by the scripts beside it: one line per step with its seconds, the whole output of a step only where it fails.
# Sourced, not run.

say() { printf '  %-6s %s\n' "$1" "$2" >&2; }

fail() {
    printf '\n%s\n\n' "$*" >&2
    exit 1
}

# step "what it does" command…  gives the command's exit code.
step() {
    local what=$1 output begun code=0
    shift
    output=$(mktemp)
    begun=$(date +%s%N)
    "$@" >"$output" 2>&1 </dev/null || code=$?
    local seconds
    seconds=$(awk -v "ns=$(($(date +%s%N) - begun))" 'BEGIN { printf "%.1f s", ns / 1e9 }')
    if [ "$code" -eq 0 ]; then
        say ok "$what, $seconds"
    else
        say FAILED "$what, $seconds, exit code $code:"
        sed 's/^/         /' "$output" >&2
    fi
    rm -f "$output"
    return "$code"
}
