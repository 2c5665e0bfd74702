#!/usr/bin/env bash
#
# Runs the integration tests against another RabbitMQ than this system's: 4.0, from Debian 13. As root; what is given is
# handed to the tests, as in `compat.sh broker_outage::`.
#
# The server lives in a root directory of its own, which is made once (a minute, 400 MB) and kept under
# ${XDG_CACHE_HOME:-~/.cache}/connection-worker; remove it to get a newer one. The host's packages and services are not
# touched, and nothing is left mounted: the mounts are seen by this script alone, and go with it.

set -euo pipefail

SUITE=trixie
MIRROR=http://deb.debian.org/debian
ROOT=${XDG_CACHE_HOME:-$HOME/.cache}/connection-worker/$SUITE

die() {
    printf 'compat.sh: %s\n' "$*" >&2
    exit 1
}

# debootstrap itself keeps packages from starting services.
make_root() {
    if ! command -v debootstrap >/dev/null; then
        command -v apt-get >/dev/null || die 'debootstrap is missing, and there is no apt-get to install it'
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >&2
    fi
    # Elsewhere first: what was not finished must not be taken for a root.
    rm -rf "$ROOT.new"
    mkdir -p "$ROOT.new"
    debootstrap --variant=minbase --include=rabbitmq-server,netbase "$SUITE" "$ROOT.new" "$MIRROR" >&2
    mv "$ROOT.new" "$ROOT"
}

# What a node reads and writes has the same path inside and outside.
mount_into_root() {
    local dir
    for dir in /proc /dev "${TMPDIR:-/tmp}"; do
        mkdir -p "$ROOT$dir"
        mount --bind "$dir" "$ROOT$dir"
    done
}

[[ $EUID -eq 0 ]] || die 'only root can change the root directory of a process'
[[ -d $ROOT ]] || make_root
if [[ -z ${COMPAT_MOUNTED:-} ]]; then
    COMPAT_MOUNTED=yes exec unshare --mount --propagation private "$0" "$@"
fi
mount_into_root
cd "$(dirname "$0")/../.."
# A node of the tests' own, or half of them would have nothing to say.
unset AMQP_URL
export BROKER_ROOT=$ROOT
echo "RabbitMQ $(chroot "$ROOT" /usr/lib/rabbitmq/bin/rabbitmqctl version)"
cargo test --locked --test it -- "$@"
