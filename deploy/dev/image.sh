#!/usr/bin/env bash
#
# Builds the image, and tries it.
#
#   image.sh build [ARG...]   with docker, podman or buildah, whichever is here; the arguments go to its `build`
#   image.sh check            build it from stand-ins for its bases, and run it: needs nothing but Debian's packages, as root
#
# What `check` builds is deploy/Dockerfile, unchanged. Its bases cannot be had without a registry, so they are made here
# under the same names: Debian with gcc and this machine's Rust, and the few packages that a distroless base consists of.
# Everything is kept in target/image, with a container storage of its own, so that a second check is quick; remove that
# directory to start afresh. The broker and the simulator of the trial live on loopback and are stopped at the end.

# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/stage.sh"

ROOT=$(cd "$DEV/../.." && pwd)
DOCKERFILE=$ROOT/deploy/Dockerfile
# The promise that is kept, for the worker's image.
MOST_MB=40

RUST_IMAGE=$(sed -n 's/^ARG RUST_IMAGE=//p' "$DOCKERFILE")
BASE_IMAGE=$(sed -n 's/^ARG BASE_IMAGE=//p' "$DOCKERFILE")
VERSION=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
# Empty if it cannot be told.
REVISION=$(git -C "$ROOT" rev-parse HEAD 2>/dev/null || true)
# CREATED is the commit's time, so that the same commit gives the same labels.
LABELS=(
    --build-arg "VERSION=$VERSION"
    --build-arg "REVISION=$REVISION"
    --build-arg "CREATED=$(git -C "$ROOT" log -1 --format=%cI 2>/dev/null || true)"
)
TAG=connection-worker:$VERSION

build() {
    local engine
    for engine in docker podman buildah; do
        command -v "$engine" >/dev/null || continue
        local format=()
        [[ $engine == docker ]] || format=(--format docker)
        "$engine" build "${format[@]}" --file "$DOCKERFILE" --tag "$TAG" "${LABELS[@]}" "$@" "$ROOT"
        return
    done
    stage_die 'neither docker nor podman nor buildah is here: install one of them'
}

# --- the check ---

HOME_OF_CHECK=$ROOT/target/image
# runc, because crun refuses machines with both kinds of cgroups; vfs, because it needs nothing of the kernel.
PODMAN=(podman --root "$HOME_OF_CHECK/storage" --runroot "$HOME_OF_CHECK/run" --storage-driver vfs
    --cgroup-manager cgroupfs --events-backend file --runtime runc)
# As on a well-kept platform. The limits are this machine's, which root may not raise everywhere.
LOCKED_DOWN=(--network host --read-only --cap-drop ALL --security-opt no-new-privileges
    --ulimit "nofile=$(ulimit -Hn):$(ulimit -Hn)" --ulimit nproc=4096:4096)
CONTAINER="connection-worker-check"
# Health checks are asked for by hand below; podman would have systemd ask.
export DISABLE_HC_SYSTEMD=true

install_tools() {
    command -v podman >/dev/null && command -v runc >/dev/null && command -v debootstrap >/dev/null && return
    command -v apt-get >/dev/null || stage_die 'podman, runc and debootstrap are needed, and there is no apt-get'
    stage_say 'installing podman, runc and debootstrap'
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends podman runc debootstrap >&2
}

# Debian with gcc, as in the slim image of Rust, and the toolchain that builds the project here.
make_rust_image() {
    "${PODMAN[@]}" image exists "$RUST_IMAGE" && return
    local system=$HOME_OF_CHECK/debian sysroot
    stage_say "making a stand-in for $RUST_IMAGE"
    debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev,netbase,tzdata bookworm "$system" >&2
    sysroot=$(rustc --print sysroot)
    cp -a "$sysroot/bin" "$sysroot/lib" "$system/usr/local/"
    mkdir -p "$system/usr/local/cargo"
    printf '[net]\noffline = true\n' >"$system/usr/local/cargo/config.toml"
    rm -rf "$system"/var/cache/apt/archives/*.deb
    tar --directory "$system" --create . | "${PODMAN[@]}" import --change ENV=CARGO_HOME=/usr/local/cargo - "$RUST_IMAGE" >&2
}

# What a distroless base has: the libraries, certificates and time zones, each as Debian ships it, and a user without rights.
make_base_image() {
    "${PODMAN[@]}" image exists "$BASE_IMAGE" && return
    local system=$HOME_OF_CHECK/debian base=$HOME_OF_CHECK/base
    stage_say "making a stand-in for $BASE_IMAGE"
    mkdir -p "$base"/{etc/ssl/certs,tmp,usr/bin,usr/lib,usr/lib64,usr/sbin}
    ln -sfn usr/lib "$base/lib"
    ln -sfn usr/lib64 "$base/lib64"
    chroot "$system" dpkg -L base-files libc6 libgcc-s1 libgomp1 libssl3 libstdc++6 netbase tzdata |
        grep -E '^/(usr/)?(lib|lib64|share/zoneinfo)/|^/etc/(os-release|protocols|services|nsswitch.conf)$' |
        sed 's|^/||' | sort -u |
        tar --directory "$system" --create --no-recursion --files-from - |
        tar --directory "$base" --extract --keep-directory-symlink
    cp "$system/etc/ssl/certs/ca-certificates.crt" "$base/etc/ssl/certs/"
    printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$base/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$base/etc/group"
    chmod 1777 "$base/tmp"
    tar --directory "$base" --create . |
        "${PODMAN[@]}" import --change USER=65532 --change ENV=SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt - "$BASE_IMAGE" >&2
}

# With the crates that this machine has already: nothing is fetched twice, and the build goes offline (the stand-in says so).
build_here() {
    local registry=${CARGO_HOME:-$HOME/.cargo}/registry
    cargo fetch --locked --manifest-path "$ROOT/Cargo.toml"
    "${PODMAN[@]}" build --isolation chroot --format docker --pull=never --layers --network host \
        --volume "$registry:/usr/local/cargo/registry" \
        --file "$DOCKERFILE" --tag "$TAG" "${LABELS[@]}" "$ROOT" >&2
}

say() { printf '   %-14s%s\n' "$1" "$2"; }

inspect() { "${PODMAN[@]}" image inspect --format "$1" "$TAG"; }

# What can be told without running it.
look_at_image() {
    local bytes mounted path found
    bytes=$(inspect '{{.Size}}')
    ((bytes < MOST_MB * 1000000)) || stage_die "the image has $bytes bytes, $MOST_MB MB are allowed"
    say size "$(awk -v bytes="$bytes" 'BEGIN { printf "%.1f MB", bytes / 1e6 }'), less than $MOST_MB MB"
    [[ $(inspect '{{.User}}') == 65532:65532 ]] || stage_die 'the image does not run as 65532'
    [[ $(inspect '{{.Config.Healthcheck.Test}}') == *'probe livez'* ]] || stage_die 'the image has no health check'
    [[ $(inspect '{{index .Labels "org.opencontainers.image.version"}}') == "$VERSION" ]] || stage_die 'wrong label of version'
    mounted=$("${PODMAN[@]}" image mount "$TAG")
    [[ -s $mounted/etc/ssl/certs/ca-certificates.crt ]] || stage_die 'the image has no CA certificates'
    for path in bin/sh bin/bash bin/busybox usr/bin/sh usr/bin/bash usr/bin/busybox; do
        [[ ! -e $mounted/$path ]] || stage_die "the image has $path"
    done
    # Links have no rights of their own.
    found=$(find "$mounted" -xdev ! -type l -perm /022 ! -path "$mounted/tmp")
    [[ -z $found ]] || stage_die "anybody can write to $found"
    "${PODMAN[@]}" image unmount "$TAG" >/dev/null
    say contents 'CA certificates, no shell, nothing to write to'
}

# Runs it to its end; leaves what it says in SAID and its exit code in STATUS.
run_image() {
    STATUS=0
    SAID=$("${PODMAN[@]}" run --rm "${LOCKED_DOWN[@]}" "$TAG" "$@" 2>&1) || STATUS=$?
}

try_commands() {
    run_image --version
    [[ $STATUS == 0 && $SAID == "connection-worker $VERSION" ]] || stage_die "--version ends with $STATUS and says: $SAID"
    say version "$SAID"
    run_image
    [[ $STATUS == 64 && $SAID == *AMQP_URL*IMS_CLIENT_ID* ]] || stage_die "without settings it ends with $STATUS: $SAID"
    say 'no settings' 'exit code 64, and each that is missing by its name'
    run_image probe livez --admin-addr 127.0.0.1:1
    [[ $STATUS == 1 && $SAID == *'cannot connect'* ]] || stage_die "a probe of nothing ends with $STATUS and says: $SAID"
    run_image simulate
    [[ $STATUS == 64 ]] || stage_die 'the simulator is in the image of the worker'
    say probe 'exit code 1 where there is no worker; and there is no simulator in it'
}

probe() { "${PODMAN[@]}" exec "$CONTAINER" /usr/local/bin/connection-worker probe "$@"; }

# A worker in the image does a job between a real broker and the simulator, and stops when told to.
try_worker() {
    local broker port pid
    STAGE=$(mktemp -d "${TMPDIR:-/tmp}/connection-worker-stage.XXXXXX")
    touch "$STAGE"/{broker,simulator,worker}.log
    "$DEV/broker.sh" install
    # For the simulator and the sender of the job; the image has neither.
    WORKER=$(cargo build --locked --bin connection-worker --message-format json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
    stage_open_broker
    broker=$FOUND
    stage_spawn simulator "$WORKER" simulate --addr 127.0.0.1:0
    stage_await "$OTHERS_SECONDS" 'the simulator' stage_find simulator 's/^simulator listening on //p'
    port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
    "${PODMAN[@]}" rm --force "$CONTAINER" >/dev/null 2>&1 || true
    stage_spawn worker "${PODMAN[@]}" run --rm --name "$CONTAINER" "${LOCKED_DOWN[@]}" \
        --env AMQP_URL="$broker" --env ADMIN_ADDR="0.0.0.0:$port" --env IMS_URL="$FOUND" \
        --env FLOW_URL="$FOUND/data/foundation/flowservice" --env IMS_CLIENT_ID=check --env IMS_CLIENT_SECRET=check \
        --env IMS_ORG_ID=1234@AdobeOrg --env SANDBOX_NAME=dev "$TAG"
    stage_await "$OTHERS_SECONDS" 'the worker' probe readyz 2>/dev/null
    "${PODMAN[@]}" healthcheck run "$CONTAINER" || stage_die 'the health check of the image fails'
    say worker 'ready, and healthy by its own probe'

    pid=$("${PODMAN[@]}" inspect --format '{{.State.Pid}}' "$CONTAINER")
    grep -q '^Uid:[[:space:]]*65532[[:space:]]' "/proc/$pid/status" || stage_die 'it runs as somebody else than 65532'
    grep -q '^CapEff:[[:space:]]*0*$' "/proc/$pid/status" || stage_die 'it has capabilities'
    grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$pid/status" || stage_die 'it could get privileges'
    awk '$5 == "/" { exit $6 !~ /^ro/ }' "/proc/$pid/mountinfo" || stage_die 'it can write to its root'
    # It has started itself anew to get it.
    grep -qz '^RUST_MIN_STACK=' "/proc/$pid/environ" || stage_die 'its threads have little stack'
    say rights 'user 65532, no capabilities, a root that cannot be written to'

    SAID=$("$WORKER" sources hubspot 2>/dev/null | AMQP_URL=$broker "$WORKER" submit --wait --timeout "${OTHERS_SECONDS}s" 2>/dev/null) ||
        stage_die "the job was not done: $SAID"
    [[ $SAID == *'"status":"created"'* ]] || stage_die "an unexpected reply: $SAID"
    say job 'created, by way of RabbitMQ and the simulator'
    WORKER_AT=http://127.0.0.1:$port
    [[ $(stage_metrics) == *"build_info{revision=\"$REVISION\""* ]] || stage_die 'its metrics name another commit'
    say metrics "${REVISION:-no commit, for none is known}"

    kill -TERM "${STAGE_PIDS[-1]}"
    STATUS=0
    wait "${STAGE_PIDS[-1]}" || STATUS=$?
    [[ $STATUS == 0 ]] || stage_die "told to stop, it ended with $STATUS"
    say stop 'drained, exit code 0'
}

check() {
    [[ $EUID -eq 0 ]] || stage_die 'only root can make a root directory'
    # The trial has a broker of its own, whatever the caller has.
    unset AMQP_URL
    install_tools
    mkdir -p "$HOME_OF_CHECK"
    make_rust_image
    make_base_image
    build_here
    look_at_image
    try_commands
    try_worker
    stage_close 0
}

case ${1:-} in
build) build "${@:2}" ;;
check) check ;;
*)
    sed -n '3,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
