#!/usr/bin/env bash
#
# Has the parser of the AsyncAPI initiative check deploy/asyncapi.json. The tests see to it that this is what
# `connection-worker schema asyncapi` prints.
#
# The parser goes to target/asyncapi, in this version and no other.

set -euo pipefail

PARSER=3.6.6

dev=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
place=$dev/../../target/asyncapi

"$dev/install.sh" npm nodejs npm
mkdir -p "$place"
# No scripts: one of its dependencies would report that it was installed.
npm install --prefix "$place" --no-audit --no-fund --ignore-scripts --silent "@asyncapi/parser@$PARSER"
# Node looks for modules beside the file that imports them.
cp "$dev/asyncapi.mjs" "$place"
node "$place/asyncapi.mjs" "${1:-$dev/../asyncapi.json}"
