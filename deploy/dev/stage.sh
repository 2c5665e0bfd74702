# shellcheck shell=bash
# shellcheck disable=SC2034 # what looks unused is for those who source this
#
# A stage to show the worker on: a broker, the simulator and the worker, started and stopped together. To be sourced.
#
#   stage_build        build the worker; install the broker if it is needed and missing
#   stage_open ARG...  start everything; the arguments go to the simulator
#   stage_run ARG...   run a command as somebody who sends jobs: with AMQP_URL and JOB_QUEUE set
#   stage_metrics      print the worker's metrics
#   stage_close 0      stop everything; the end of the script does so anyway
#
# Sets WORKER, the binary; STAGE, a directory that goes with the stage; BROKER_AT, JOB_QUEUE, SIMULATOR_AT and WORKER_AT
# for people to read. However the script ends, what was started is stopped and STAGE removed; if it failed, the logs are
# shown first.

set -euo pipefail

# The broker's script gives up by itself, and says why, before this.
BROKER_SECONDS=600
# The others are up in a moment, but not on a machine that does ten other things.
OTHERS_SECONDS=30

DEV=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
STAGE=
STAGE_PIDS=()
STAGE_ENV=()

# Nobody is asked anything, and a closed standard input must not become some other file.
exec </dev/null

stage_say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

stage_die() {
    stage_say "$@"
    exit 1
}

stage_build() {
    command -v cargo >/dev/null || stage_die 'cargo is missing: install Rust first, see https://rustup.rs'
    "$DEV/broker.sh" install
    WORKER=$(cargo build --release --locked --bin connection-worker --message-format json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
}

stage_open() {
    STAGE=$(mktemp -d "${TMPDIR:-/tmp}/connection-worker-stage.XXXXXX")
    # Looked into before those who write them have come so far.
    touch "$STAGE"/{broker,simulator,worker}.log
    local queues name
    if [[ -n ${AMQP_URL:-} ]]; then
        # Queues of our own: our worker creates nothing real, so it must not take anybody's jobs, nor another take ours.
        # They stay on that broker, empty; so their names are always the same, and there is one stage at a time on it.
        queues=connection-worker-stage
        for name in "${!AMQP_@}"; do STAGE_ENV+=("$name=${!name}"); done
        BROKER_AT='the one that AMQP_URL names'
    else
        queues=connections
        stage_open_broker
        STAGE_ENV=("AMQP_URL=$FOUND")
        BROKER_AT=$FOUND
    fi
    JOB_QUEUE=$queues.jobs
    STAGE_ENV+=("JOB_QUEUE=$JOB_QUEUE" "REPLY_QUEUE=$queues.replies")

    stage_spawn simulator "$WORKER" simulate --addr 127.0.0.1:0 "$@"
    stage_await "$OTHERS_SECONDS" 'the simulator' stage_find simulator 's/^simulator listening on //p'
    SIMULATOR_AT=$FOUND

    # For senders that seal their credentials.
    STAGE_ENV+=("SEALING_KEY=$("$WORKER" keygen "$STAGE/worker.key")")

    # In an environment of its own: a setting of the caller's could send the jobs to the real Flow Service.
    stage_spawn worker env -i "${STAGE_ENV[@]}" ADMIN_ADDR=127.0.0.1:0 LOG_FORMAT=json \
        FLOW_URL="$SIMULATOR_AT/data/foundation/flowservice" IMS_URL="$SIMULATOR_AT" \
        IMS_CLIENT_ID=demo IMS_CLIENT_SECRET=demo SEALING_KEY_FILES="$STAGE/worker.key" "$WORKER" run
    stage_await "$OTHERS_SECONDS" 'the worker' stage_find worker 's/.*"admin_addr":"\([^"]*\)".*/\1/p'
    WORKER_AT=http://$FOUND
    stage_await "$OTHERS_SECONDS" 'the worker' stage_is_ready
}

# Leaves the broker's address in FOUND.
stage_open_broker() {
    # The broker stops when its standard input ends: at the latest when we and what we started are gone.
    mkfifo "$STAGE/leash"
    "$DEV/broker.sh" run <"$STAGE/leash" >"$STAGE/broker.log" 2>&1 &
    STAGE_PIDS+=("$!")
    exec {LEASH}>"$STAGE/leash"
    stage_await "$BROKER_SECONDS" 'the broker' stage_find broker '/^READY$/p'
    stage_find broker 's/^AMQP_URL=//p'
}

# Starts a program in the background. Where the kernel can do it, it dies with us even if we are killed outright.
stage_spawn() {
    local log=$STAGE/$1.log leash=()
    shift
    if command -v setpriv >/dev/null && setpriv --pdeathsig KILL true 2>/dev/null; then
        leash=(setpriv --pdeathsig KILL)
    fi
    "${leash[@]}" "$@" >"$log" 2>&1 &
    STAGE_PIDS+=("$!")
}

# Repeats a command until it succeeds, while the program that was started last is running.
stage_await() {
    local seconds=$1 who=$2 deadline=$((SECONDS + $1))
    shift 2
    until "$@"; do
        kill -0 "${STAGE_PIDS[-1]}" 2>/dev/null || stage_die "$who stopped by itself"
        ((SECONDS < deadline)) || stage_die "$who was not ready within $seconds s"
        sleep 0.05
    done
}

# Leaves in FOUND the first line that a sed script prints for a log.
stage_find() {
    FOUND=$(sed -n "$2" "$STAGE/$1.log" | head -n 1)
    [[ -n $FOUND ]]
}

stage_is_ready() { [[ $(stage_get /readyz) == *' 200 '* ]]; }

stage_metrics() { stage_get /metrics; }

# Asks the worker's admin port. There may be no curl; bash can do it.
stage_get() {
    local address=${WORKER_AT#http://} connection
    exec {connection}<>"/dev/tcp/${address%:*}/${address##*:}" || return
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&"$connection"
    cat <&"$connection"
    exec {connection}>&-
}

stage_run() { env "${STAGE_ENV[@]}" "$@"; }

stage_close() {
    local status=$1 index log
    # A second Ctrl-C must not leave half of it behind.
    trap '' INT TERM HUP PIPE
    for ((index = ${#STAGE_PIDS[@]} - 1; index >= 0; index--)); do
        kill -TERM "${STAGE_PIDS[index]}" 2>/dev/null || true
        wait "${STAGE_PIDS[index]}" 2>/dev/null || true
    done
    [[ -n $STAGE ]] || return 0
    if ((status != 0 && status < 128)); then
        for log in "$STAGE"/*.log; do
            [[ -s $log ]] || continue
            stage_say "the end of ${log##*/}:"
            tail -n 20 "$log" >&2
        done
    fi
    rm -rf "$STAGE"
    STAGE='' STAGE_PIDS=()
}

trap 'stage_close $?' EXIT
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM HUP
