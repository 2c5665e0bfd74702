#!/usr/bin/env bash
#
# Holds the dependencies to .deny.toml: licences, bans, sources, and the advisories of the RustSec database.
#
# Fails if any of them is not kept. A database that cannot be fetched fails nothing, and is said so last and loudly.

set -euo pipefail

VERSION=0.20.2
cd "$(dirname "$0")/../.."
TOOLS=$PWD/target/tools

say() { printf 'audit.sh: %s\n' "$*" >&2; }

deploy/dev/cargo-tool.sh cargo-deny "$VERSION"
PATH=$TOOLS/bin:$PATH

status=0
cargo deny --locked check licenses bans sources || status=1
# No part of it is ever in the program, so its licences are nobody's business.
cargo deny --locked --manifest-path tests/fuzz/Cargo.toml --config .deny.toml check bans sources || status=1
if cargo deny fetch db; then
    cargo deny --locked check advisories || status=1
else
    say 'ADVISORIES WERE NOT CHECKED: the RustSec database cannot be reached from here'
fi
exit "$status"
