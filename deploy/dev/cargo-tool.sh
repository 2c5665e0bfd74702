#!/usr/bin/env bash
#
# Makes sure of a program for cargo that a make target needs, in target/tools/bin.
#
#   cargo-tool.sh CRATE VERSION   install that version of it, unless it is there

set -euo pipefail

crate=${1:?which crate?}
version=${2:?which version?}
cd "$(dirname "$0")/../.."
TOOLS=$PWD/target/tools

if ! grep -qsF "\"$crate $version " "$TOOLS/.crates.toml" || ! [[ -x $TOOLS/bin/$crate ]]; then
    echo "cargo-tool.sh: installing $crate $version into target/tools, once" >&2
    cargo install "$crate" --version "$version" --locked --root "$TOOLS"
fi
