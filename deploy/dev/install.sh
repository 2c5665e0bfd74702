#!/usr/bin/env bash
#
# Makes sure of programs that a make target needs beside Rust and the broker.
#
#   install.sh PROGRAM PACKAGE...   install the Debian packages, unless the program is there

set -euo pipefail

say() { printf 'install.sh: %s\n' "$*" >&2; }

program=${1:?which program?}
shift
if command -v "$program" >/dev/null; then
    exit
fi
if ! command -v apt-get >/dev/null; then
    say "$program is missing, and this system has no apt-get: install it, and try again"
    exit 1
fi
as_root=()
if [[ $EUID -ne 0 ]]; then
    as_root=(sudo)
fi
say "installing $* from the system's packages"
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
