#!/usr/bin/env bash
#
# Tries the example clients: each sends its job to a worker and must print a reply that says `created`.
#
# Their libraries go to a directory that is removed at the end, so nothing is installed for good.

# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/stage.sh"

# For one example: an answer is a matter of milliseconds.
EXAMPLE_SECONDS=30

EXAMPLES=$DEV/../examples

for tool in python3 npm node; do
    command -v "$tool" >/dev/null || stage_die "$tool is missing: the examples need Python 3 with venv, and Node.js with npm"
done
stage_build
# shellcheck disable=SC2119 # no special wishes to the simulator
stage_open

# try LANGUAGE COMMAND...
try() {
    local language=$1 reply
    shift
    reply=$(stage_run timeout "$EXAMPLE_SECONDS" "$@") || stage_die "the $language example failed"
    printf '%s: %s\n' "$language" "$reply"
    [[ $reply == *'"status":"created"'* ]] || stage_die "the $language example was to print a reply that says created"
}

# Network and disk work, so it says nothing unless it fails.
quietly() { "$@" >"$STAGE/install.log" 2>&1 || stage_die "failed: $*"; }

quietly python3 -m venv "$STAGE/python"
quietly "$STAGE/python/bin/pip" install --disable-pip-version-check pika cryptography
try Python "$STAGE/python/bin/python" "$EXAMPLES/python/send_job.py"
try 'Python, sealed' "$STAGE/python/bin/python" "$EXAMPLES/python/send_sealed_job.py"

# Node looks for modules beside the file that imports them.
mkdir "$STAGE/node"
cp "$EXAMPLES"/node/*.mjs "$STAGE/node"
quietly npm install --prefix "$STAGE/node" --no-audit --no-fund amqplib @hpke/core
try Node "$(command -v node)" "$STAGE/node/send-job.mjs"
try 'Node, sealed' "$(command -v node)" "$STAGE/node/send-sealed-job.mjs"

stage_close 0
echo 'All examples work; everything is stopped.'
