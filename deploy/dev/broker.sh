#!/usr/bin/env bash
#
# A private RabbitMQ node to develop and test against.
#
#   broker.sh install            install RabbitMQ from the system's packages, unless it is there or AMQP_URL is set
#   broker.sh run [OPTION...]    start a node in the foreground; see below
#   broker.sh ctl DIR ARG...     rabbitmqctl against the node that lives in DIR
#   broker.sh eval DIR           read Erlang expressions, one a line; answer each with one line from the node
#
# `run` prints KEY=VALUE lines and then READY once the node serves:
#
#   AMQP_URL             amqp://guest:guest@127.0.0.1:PORT
#   AMQPS_PORT           only with the --tls options
#   RABBITMQ_NODENAME    the node's Erlang name
#   RABBITMQ_PID         its operating system process
#   BROKER_DIR           everything the node writes, and the DIR of `ctl` and `eval`
#
# It stops the node and removes BROKER_DIR when its standard input ends, so that a caller who is killed leaves nothing
# behind, or on SIGINT, SIGTERM or SIGHUP. A terminal is not watched: there it runs until Ctrl-C.
#
#   --until-signal       do not watch standard input
#   --tls-ca FILE --tls-cert FILE --tls-key FILE
#                        also listen with TLS; clients may log in with a certificate whose common name is the user
#
# The node has its own name, ports, cookie, port mapper and directory, and listens on the loopback interface only:
# it neither sees nor disturbs any other node on the machine.

set -euo pipefail

# A node is up in about 7 s on an idle machine; a loaded CI machine has been seen to need ten times that.
STARTUP_SECONDS=120
# Long enough to close the clients' connections in order; there is no data worth waiting for.
STOP_SECONDS=3
# Ports are free when we ask, not reserved: another process can take one before the node does.
STARTUP_ATTEMPTS=3

DIR=
NODE_PID=
EPMD_PID=
NODE_ENV=()

say() { printf 'broker.sh: %s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

usage() { sed -n '3,/^$/s/^# \{0,1\}//p' "$0"; }

# The directory with RabbitMQ's own scripts. Debian's wrappers in /usr/sbin insist on root and on the system's node.
server_bin() {
    if [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]; then
        echo /usr/lib/rabbitmq/bin
    elif command -v rabbitmq-server >/dev/null; then
        dirname "$(readlink -f "$(command -v rabbitmq-server)")"
    else
        return 1
    fi
}

install() {
    if [[ -n ${AMQP_URL:-} ]] || server_bin >/dev/null; then
        return
    fi
    local hint='install RabbitMQ 3.10 or later so that rabbitmq-server is in PATH, or set AMQP_URL to a broker'
    command -v apt-get >/dev/null || die "this system has no apt-get: $hint"
    local as_root=()
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null || die "neither root nor sudo: $hint"
        as_root=(sudo)
    fi
    say 'installing rabbitmq-server from the system'\''s packages'

    # The package starts a node for the whole system, on the default port; this keeps it from doing so.
    local policy=/usr/sbin/policy-rc.d ours=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
        "${as_root[@]}" chmod 755 $policy
        ours=yes
    fi
    local status=0
    {
        "${as_root[@]}" apt-get update -qq &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq --no-install-recommends rabbitmq-server
    } >&2 || status=$?
    [[ -z $ours ]] || "${as_root[@]}" rm -f $policy
    [[ $status -eq 0 ]] || die "apt-get failed: $hint"
    # Nor is it to start with the machine's next boot.
    if [[ -d /run/systemd/system ]]; then
        "${as_root[@]}" systemctl disable --quiet --now rabbitmq-server >&2 || true
    else
        "${as_root[@]}" update-rc.d rabbitmq-server disable >&2 || true
    fi
}

# Asks the operating system for as many different free ports as said.
free_ports() {
    perl -MIO::Socket::INET -e '
        my @sockets = map {
            IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", Proto => "tcp") or die "no free port: $@\n"
        } 1 .. $ARGV[0];
        print join(" ", map { $_->sockport } @sockets), "\n";' "$1"
}

# Runs a command in the node's environment and in nothing else of ours: a caller's RABBITMQ_* must not leak in.
in_node_env() { exec env -i "${NODE_ENV[@]}" "$@"; }

load_node_env() {
    [[ -f $1/environment ]] || die "no node lives in $1"
    mapfile -t NODE_ENV <"$1/environment"
}

ctl() {
    load_node_env "${1:?which directory?}"
    in_node_env "$(server_bin)/rabbitmqctl" --quiet "${@:2}"
}

# rabbitmqctl starts a virtual machine for every command, which takes seconds. This one stays, so that a test can ask
# often. An answer is `ok VALUE` or `error REASON` on one line; a binary is printed as it is.
evaluate() {
    load_node_env "${1:?which directory?}"
    # shellcheck disable=SC2016 # nothing in there is for the shell
    in_node_env erl +B -boot start_clean -hidden -noshell -sname "eval-$$-$RANDOM@localhost" \
        -kernel inet_dist_use_interface '{127,0,0,1}' -eval '
        Node = list_to_atom(os:getenv("RABBITMQ_NODENAME")),
        ok = io:setopts([{encoding, unicode}]),
        Loop = fun Loop() ->
            case io:get_line("") of
                Line when is_list(Line) ->
                    try
                        {ok, Tokens, _} = erl_scan:string(Line),
                        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
                        case rpc:call(Node, erl_eval, exprs, [Expressions, []], 30000) of
                            {value, Binary, _} when is_binary(Binary) -> io:format("ok ~ts~n", [Binary]);
                            {value, Value, _} -> io:format("ok ~0tp~n", [Value]);
                            Failure -> io:format("error ~0tp~n", [Failure])
                        end
                    catch Class:Reason -> io:format("error ~0tp~n", [{Class, Reason}])
                    end,
                    Loop();
                _ -> halt(0)
            end
        end,
        Loop().'
}

# Starts a command of the node in the background. Where the kernel can do it, the command dies with this script even
# if that is killed outright.
spawn() {
    local leash=()
    if command -v setpriv >/dev/null && setpriv --pdeathsig KILL true 2>/dev/null; then
        leash=(setpriv --pdeathsig KILL)
    fi
    env -i "${NODE_ENV[@]}" "${leash[@]}" "$@" </dev/null >>"$DIR/console.log" 2>&1 &
}

alive() { kill -0 "$1" 2>/dev/null; }

stop_node() {
    local tenths=$((STOP_SECONDS * 10))
    if [[ -n $NODE_PID ]]; then
        kill -TERM "$NODE_PID" 2>/dev/null || true
        while ((tenths-- > 0)) && alive "$NODE_PID"; do sleep 0.1; done
        kill -KILL "$NODE_PID" 2>/dev/null || true
        wait "$NODE_PID" 2>/dev/null || true
    fi
    if [[ -n $EPMD_PID ]]; then
        kill -KILL "$EPMD_PID" 2>/dev/null || true
        wait "$EPMD_PID" 2>/dev/null || true
    fi
    NODE_PID='' EPMD_PID=''
    [[ -z $DIR ]] || rm -rf "$DIR"
    DIR=''
}

show_logs() {
    local log
    for log in "$DIR"/console.log "$DIR"/log/*.log; do
        [[ -s $log ]] || continue
        say "the end of ${log##*/}:"
        tail -n 40 "$log" >&2
    done
}

# Lets a moment pass; false once standard input is watched and has ended.
pause() {
    if [[ -n $until_signal ]]; then
        sleep "$1"
    else
        local status=0
        read -r -t "$1" _ || status=$?
        # Above 128 is the timeout, 0 a line that nobody needs.
        ((status == 0 || status > 128))
    fi
}

# Lays out a directory and starts a node in it. Fails with 2 when something else took one of its ports, which is worth
# another attempt, and with 1 when the node gives up for another reason or takes too long.
start_node() {
    local bin=$1 ports amqp_port amqps_port dist_port epmd_port
    ports=$(free_ports 4) || die 'no free ports'
    read -r amqp_port amqps_port dist_port epmd_port <<<"$ports"
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/connection-worker-broker.XXXXXX") || die 'no temporary directory'
    local name="broker-${DIR##*.}-$$@localhost"
    mkdir "$DIR/log" "$DIR/mnesia" "$DIR/schema"
    (umask 077 && head -c 32 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' >"$DIR/.erlang.cookie")
    chmod 400 "$DIR/.erlang.cookie"

    cat >"$DIR/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$amqp_port
# The node's data is tiny: a nearly full disk is no reason to block its publishers.
disk_free_limit.absolute = 50MB
CONF
    if [[ -n $tls_cert ]]; then
        # Copied, because the node reads them again long after the caller may have removed them.
        mkdir "$DIR/tls"
        cp "$tls_ca" "$DIR/tls/ca.pem"
        cp "$tls_cert" "$DIR/tls/server.pem"
        cp "$tls_key" "$DIR/tls/server-key.pem"
        cat >>"$DIR/rabbitmq.conf" <<CONF
listeners.ssl.1 = 127.0.0.1:$amqps_port
ssl_options.cacertfile = $DIR/tls/ca.pem
ssl_options.certfile = $DIR/tls/server.pem
ssl_options.keyfile = $DIR/tls/server-key.pem
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_mechanisms.3 = EXTERNAL
CONF
        echo '[rabbitmq_auth_mechanism_ssl].' >"$DIR/enabled_plugins"
    else
        echo '[].' >"$DIR/enabled_plugins"
    fi
    : >"$DIR/rabbitmq-env.conf"

    NODE_ENV=(
        "PATH=$PATH"
        "HOME=$DIR" # where Erlang looks for the cookie
        "LANG=C.UTF-8"
        "LC_ALL=C.UTF-8"
        "ERL_CRASH_DUMP=$DIR/erl_crash.dump"
        "ERL_EPMD_ADDRESS=127.0.0.1"
        "ERL_EPMD_PORT=$epmd_port"
        "RABBITMQ_NODENAME=$name"
        "RABBITMQ_DIST_PORT=$dist_port"
        "RABBITMQ_CONF_ENV_FILE=$DIR/rabbitmq-env.conf" # empty: not the system's
        "RABBITMQ_CONFIG_FILE=$DIR/rabbitmq.conf"
        "RABBITMQ_ADVANCED_CONFIG_FILE=$DIR/advanced.config"
        "RABBITMQ_ENABLED_PLUGINS_FILE=$DIR/enabled_plugins"
        "RABBITMQ_MNESIA_BASE=$DIR/mnesia"
        "RABBITMQ_SCHEMA_DIR=$DIR/schema"
        "RABBITMQ_GENERATED_CONFIG_DIR=$DIR/schema"
        "RABBITMQ_LOG_BASE=$DIR/log"
        "RABBITMQ_PID_FILE=$DIR/pid"
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}"
        # The control tool listens too; any free port instead of a range of eleven, which parallel calls exhaust.
        "RABBITMQ_CTL_DIST_PORT_MIN=0"
        "RABBITMQ_CTL_DIST_PORT_MAX=0"
        "RABBITMQ_CTL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}"
    )
    printf '%s\n' "${NODE_ENV[@]}" >"$DIR/environment"

    # In the foreground and ours: the one that a node starts by itself outlives it.
    spawn epmd -port "$epmd_port" -address 127.0.0.1
    EPMD_PID=$!
    # With RABBITMQ_ALLOW_INPUT the script becomes the virtual machine instead of waiting for it, so that the process
    # we know is the one to stop; the two arguments restore what else the script would have passed.
    spawn env RABBITMQ_ALLOW_INPUT=1 "$bin/rabbitmq-server" -noinput +B i
    NODE_PID=$!

    local deadline=$((SECONDS + STARTUP_SECONDS))
    until grep -qs 'Server startup complete' "$DIR"/log/*.log; do
        if ! alive "$EPMD_PID"; then
            say 'the port mapper stopped'
            return 2
        elif ! alive "$NODE_PID"; then
            say 'the node stopped while it started'
            if grep -qsi -e eaddrinuse -e 'in use' "$DIR"/console.log "$DIR"/log/*.log; then return 2; fi
            return 1
        elif ((SECONDS >= deadline)); then
            say "the node was not ready within $STARTUP_SECONDS s"
            return 1
        fi
        pause 0.1 || exit 0
    done

    printf '%s\n' "AMQP_URL=amqp://guest:guest@127.0.0.1:$amqp_port"
    [[ -z $tls_cert ]] || printf '%s\n' "AMQPS_PORT=$amqps_port"
    printf '%s\n' "RABBITMQ_NODENAME=$name" "RABBITMQ_PID=$NODE_PID" "BROKER_DIR=$DIR" READY
}

run() {
    local until_signal='' tls_ca='' tls_cert='' tls_key=''
    while (($#)); do
        case $1 in
        --until-signal) until_signal=yes ;;
        --tls-ca) tls_ca=${2:?--tls-ca needs a file} && shift ;;
        --tls-cert) tls_cert=${2:?--tls-cert needs a file} && shift ;;
        --tls-key) tls_key=${2:?--tls-key needs a file} && shift ;;
        *) die "unknown option: $1" ;;
        esac
        shift
    done
    if [[ -n $tls_ca$tls_cert$tls_key && (-z $tls_ca || -z $tls_cert || -z $tls_key) ]]; then
        die '--tls-ca, --tls-cert and --tls-key go together'
    fi
    local file
    for file in "$tls_ca" "$tls_cert" "$tls_key"; do
        [[ -z $file || -r $file ]] || die "cannot read $file"
    done
    [[ ! -t 0 ]] || until_signal=yes
    local bin
    bin=$(server_bin) || die "no rabbitmq-server here: try '$0 install'"

    # Being asked to stop is the ordinary end.
    trap 'exit 0' INT TERM HUP
    # A reader that is gone before READY shows as a failed write.
    trap '' PIPE
    trap stop_node EXIT
    local attempt status
    for ((attempt = 1; ; attempt++)); do
        status=0
        start_node "$bin" || status=$?
        if ((status == 0)); then break; fi
        show_logs
        stop_node
        ((status == 2 && attempt < STARTUP_ATTEMPTS)) || die 'giving up'
        say 'trying again on other ports'
    done
    while alive "$NODE_PID"; do
        if [[ -n $until_signal ]]; then
            wait "$NODE_PID" || true
        else
            pause 1 || exit 0
        fi
    done
    show_logs
    die 'the node stopped by itself'
}

case ${1:-} in
install) install ;;
run) run "${@:2}" ;;
ctl) ctl "${@:2}" ;;
eval) evaluate "${@:2}" ;;
-h | --help) usage ;;
*)
    usage >&2
    exit 64
    ;;
esac
