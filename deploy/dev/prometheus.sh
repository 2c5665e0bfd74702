#!/usr/bin/env bash
#
# Prometheus for the tests of the metrics, the alerts and the dashboard.
#
#   prometheus.sh install        install it from the system's packages, unless it is there; never fails
#   prometheus.sh alerts         check the alerts and run their tests
#   prometheus.sh picture        draw the dashboard from a run of some minutes, for the README
#
# A machine that cannot have it leaves those tests out.

set -euo pipefail

cd "$(dirname "$0")/../.."
# shellcheck source-path=SCRIPTDIR
source deploy/dev/packages.sh

RULES=deploy/prometheus

install() {
    if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
        return
    fi
    echo 'prometheus.sh: installing prometheus from the system'\''s packages' >&2
    install_packages prometheus -- prometheus ||
        echo 'prometheus.sh: going on without; the tests of alerts and dashboard are left out' >&2
}

alerts() {
    command -v promtool >/dev/null || {
        echo 'prometheus.sh: promtool is missing; it comes with Prometheus' >&2
        exit 1
    }
    promtool check rules "$RULES/rules.yaml"
    promtool test rules "$RULES/rules_test.yaml"
}

# The test of the dashboard, at length. Installs Chromium, if it is not there, to draw with.
picture() {
    if ! command -v chromium >/dev/null; then
        echo 'prometheus.sh: installing chromium from the system'\''s packages' >&2
        install_packages -- chromium
    fi
    DASHBOARD_SECONDS=150 DASHBOARD_PICTURE=$PWD/deploy/grafana/connection-worker.png \
        cargo test --locked --test it -- --exact --nocapture \
        dashboard::every_panel_and_every_alert_has_something_to_show
}

case ${1:-} in
install) install ;;
alerts) alerts ;;
picture) picture ;;
*)
    sed -n '3,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
