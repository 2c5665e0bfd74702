#!/usr/bin/env bash
#
# Runs the fuzz targets under tests/fuzz, one after the other, for so many seconds each.
#
#   fuzz.sh SECONDS [TARGET...]    all of them if none is named: job, properties, retry_after, answer
#
# Needs a nightly compiler, which it does not install: `rustup toolchain install nightly`. What it finds out is kept in
# target/fuzz/corpus and is where the next run begins; the seeds are in tests/fuzz/seeds. An input that fails is left in
# tests/fuzz/artifacts: mend the fault, and turn the input into a test beside the code.
#
# Without a sanitizer: there is no unsafe code in the worker, and without one it is several times as fast.

set -euo pipefail

VERSION=0.13.2
TARGETS=(job properties retry_after answer)

seconds=${1:?for how many seconds}
shift
cd "$(dirname "$0")/../.."
TOOLS=$PWD/target/tools

deploy/dev/cargo-tool.sh cargo-fuzz "$VERSION"
PATH=$TOOLS/bin:$PATH

fuzz() {
    local command=$1
    shift
    cargo +nightly fuzz "$command" --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none "$@"
}

(($# > 0)) || set -- "${TARGETS[@]}"
status=0
for target; do
    corpus=target/fuzz/corpus/$target
    mkdir -p "$corpus"
    # As long as a frame is, a header table could nest too deep for the stack of libFuzzer's thread.
    fuzz run "$target" "$corpus" "tests/fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 || status=1
done
exit "$status"
