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
# Where the checkout lies is nobody's business.
sed "s|file://$PWD|file://.|g" "$name.json" >"target/sbom/$name.json"
rm "$name.json"
echo "target/sbom/$name.json"
