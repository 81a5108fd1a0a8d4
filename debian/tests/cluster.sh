# shellcheck shell=sh
# For the tests beside this file: a cluster of three nodes out of the installed packages, by tools/cluster, in a folder that goes
# when the test ends. By hand: debian/tests/three-nodes, in the sources; it needs no root.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
made=
[ -n "${AUTOPKGTEST_TMP-}" ] || made=$(mktemp -d)
dir=${AUTOPKGTEST_TMP:-$made}
# What is installed, and nothing that was built beside this file.
export RIDD_BUILD="$dir/installed" RIDD_CLUSTER_DIR="$dir/cluster" RIDD_CONF="$dir/cluster/ridd.conf"
unset RIDCTL_ENDPOINTS LD_LIBRARY_PATH
mkdir "$RIDD_BUILD"
ln -s /usr/sbin/ridd /usr/bin/ridctl "$RIDD_BUILD"

finish()
{
    status=$?
    trap - EXIT
    [ "$status" = 0 ] || tail -n 20 "$RIDD_CLUSTER_DIR"/*.log || true
    "$top/tools/cluster" stop >/dev/null 2>&1 || true
    [ -z "$made" ] || rm -rf "$made"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# expect WANTED COMMAND...: what the command says.
expect()
{
    wanted=$1
    shift
    said=$("$@") || { echo "this failed: $*" >&2; exit 1; }
    [ "$said" = "$wanted" ] || { echo "$* says '$said', not '$wanted'" >&2; exit 1; }
}

# within SECONDS COMMAND...: it succeeds before they are over.
within()
{
    seconds=$1
    shift
    for _ in $(seq $((seconds * 10))); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    echo "this did not come true in $seconds s: $*" >&2
    exit 1
}
