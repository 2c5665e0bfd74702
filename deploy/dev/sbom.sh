#!/usr/bin/env bash
#
# Writes what the worker is made of, as the image has it, to target/sbom/connection-worker.cdx.json: CycloneDX 1.5, with the
# licence and the checksum of each crate. The same tree gives the same file, but for its serial number and date.

set -euo pipefail

VERSION=0.5.9
cd "$(dirname "$0")/../.."
TOOLS=$PWD/target/tools

deploy/dev/cargo-tool.sh cargo-cyclonedx "$VERSION"

# It writes beside Cargo.toml, and nowhere else.
name=connection-worker.cdx
"$TOOLS/bin/cargo-cyclonedx" cyclonedx --format json --spec-version 1.5 --no-default-features --override-filename "$name"
mkdir -p target/sbom
# It goes by features less closely than cargo does: what cargo does not build is left out, or scanners would warn of it.
# shellcheck disable=SC2016 # nothing in there is for the shell
cargo tree --locked --no-default-features --edges normal,build --prefix none --format '{p}' |
    python3 -c '
import json, sys
bill = json.load(open(sys.argv[1]))
# As in `serde v1.0.228 (proc-macro)`.
built = {tuple(line.split()[:2]) for line in sys.stdin if line.strip()}
parts = [part for part in bill["components"] if (part["name"], "v" + part["version"]) in built]
known = {part["bom-ref"] for part in [bill["metadata"]["component"], *parts]}
links = [{**link, "dependsOn": [to for to in link.get("dependsOn", []) if to in known]}
         for link in bill["dependencies"] if link["ref"] in known]
json.dump({**bill, "components": parts, "dependencies": links}, sys.stdout, indent=2)
' "$name.json" |
    # Where the checkout lies is nobody's business.
    sed "s|file://$PWD|file://.|g" >"target/sbom/$name.json"
rm "$name.json"
echo "target/sbom/$name.json"
