# Installs packages of the system; to be sourced.
# shellcheck shell=bash

# install_packages SERVICE... -- PACKAGE...
#
# Installs the packages, and keeps the services that come with them from running, now and after the next boot: whoever
# needs one starts its own. Says why and fails if that cannot be done here.
install_packages() {
    local services=() as_root=()
    while [[ $1 != -- ]]; do services+=("$1") && shift; done
    shift
    if ! command -v apt-get >/dev/null; then
        echo 'this system has no apt-get' >&2
        return 1
    fi
    if [[ $EUID -ne 0 ]]; then
        if ! command -v sudo >/dev/null; then
            echo 'neither root nor sudo' >&2
            return 1
        fi
        as_root=(sudo)
    fi

    # A package starts its service at once; this keeps it from doing so.
    local policy=/usr/sbin/policy-rc.d ours='' status=0 service
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
        "${as_root[@]}" chmod 755 $policy
        ours=yes
    fi
    {
        "${as_root[@]}" apt-get update -qq &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq --no-install-recommends "$@"
    } >&2 || status=$?
    [[ -z $ours ]] || "${as_root[@]}" rm -f $policy
    if [[ $status -ne 0 ]]; then
        echo 'apt-get failed' >&2
        return 1
    fi
    for service in "${services[@]}"; do
        if [[ -d /run/systemd/system ]]; then
            "${as_root[@]}" systemctl disable --quiet --now "$service" >&2 || true
        else
            "${as_root[@]}" update-rc.d "$service" disable >&2 || true
        fi
    done
}
