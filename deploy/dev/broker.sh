#!/usr/bin/env bash
#
# A private RabbitMQ node, or a cluster of them, to develop and test against.
#
#   broker.sh install            install RabbitMQ from the system's packages, unless it is there or AMQP_URL is set
#   broker.sh run [OPTION...]    start a node, or some, in the foreground; see below
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
# On standard input it takes orders, one a line, and answers each with one line that begins with the order:
#
#   kill N               end node N at once, as a power cut would; answered `kill N`
#   start N              start node N again, with all that it had; answered `start N PID` once it serves
#
#   --nodes NUMBER       a cluster of so many nodes. The second one's lines end in _2, as in AMQP_URL_2, and so on
#   --until-signal       do not watch standard input
#   --tls-ca FILE --tls-cert FILE --tls-key FILE
#                        also listen with TLS; clients may log in with a certificate whose common name is the user
#
# The nodes have their own names, ports, cookie, port mapper and directories, and listen on the loopback interface only:
# they neither see nor disturb any other node on the machine.
#
# BROKER_ROOT is a root directory with another RabbitMQ in it, to be used instead of the system's. The directory for
# temporary files has to be the same inside and outside; `compat.sh` sees to that.

set -euo pipefail

# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

# A node is up in about 7 s on an idle machine; a loaded CI machine has been seen to need ten times that.
STARTUP_SECONDS=120
# Long enough to close the clients' connections in order; there is no data worth waiting for.
STOP_SECONDS=3
# Ports are free when we ask, not reserved: another process can take one before the node does.
STARTUP_ATTEMPTS=3

# Runs a command in BROKER_ROOT, if there is one.
IN_ROOT=()
[[ -z ${BROKER_ROOT:-} ]] || IN_ROOT=(chroot "$BROKER_ROOT")
# Home of all; node 1 lives in it, node N in its subdirectory N.
DIR=
EPMD_PID=
# Of each node, by its number.
NODE_DIRS=()
NODE_NAMES=()
NODE_PIDS=()
NODE_PORTS=()
# Of the node that is being started.
NODE_ENV=()

say() { printf 'broker.sh: %s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

usage() { sed -n '3,/^$/s/^# \{0,1\}//p' "$0"; }

# The directory with RabbitMQ's own scripts. Debian's wrappers in /usr/sbin insist on root and on the system's node.
server_bin() {
    if [[ -x ${BROKER_ROOT:-}/usr/lib/rabbitmq/bin/rabbitmq-server ]]; then
        echo /usr/lib/rabbitmq/bin
    elif [[ -n ${BROKER_ROOT:-} ]]; then
        return 1
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
    say 'installing rabbitmq-server from the system'\''s packages'
    install_packages rabbitmq-server -- rabbitmq-server || die "$hint"
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
in_node_env() { exec env -i "${NODE_ENV[@]}" "${IN_ROOT[@]}" "$@"; }

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

# Starts a command in the background, in the environment of a node and with its output in a log. Where the kernel can
# do it, the command dies with this script even if that is killed outright.
spawn() {
    local leash=() log=$1
    shift
    if command -v setpriv >/dev/null && setpriv --pdeathsig KILL true 2>/dev/null; then
        leash=(setpriv --pdeathsig KILL)
    fi
    env -i "${NODE_ENV[@]}" "${leash[@]}" "${IN_ROOT[@]}" "$@" </dev/null >>"$log" 2>&1 &
}

alive() { kill -0 "$1" 2>/dev/null; }

any_alive() {
    local pid
    for pid in "$@"; do
        if alive "$pid"; then return 0; fi
    done
    return 1
}

kill_now() {
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

stop_all() {
    local tenths=$((STOP_SECONDS * 10)) pid
    for pid in "${NODE_PIDS[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    while ((tenths-- > 0)) && any_alive "${NODE_PIDS[@]}"; do sleep 0.1; done
    for pid in "${NODE_PIDS[@]}" $EPMD_PID; do kill_now "$pid"; done
    NODE_DIRS=() NODE_NAMES=() NODE_PIDS=() NODE_PORTS=() EPMD_PID=''
    [[ -z $DIR ]] || rm -rf "$DIR"
    DIR=''
}

show_logs() {
    local dir log
    for dir in "${NODE_DIRS[@]}"; do
        for log in "$dir"/console.log "$dir"/log/*.log; do
            [[ -s $log ]] || continue
            say "the end of ${log#"$DIR"/}:"
            tail -n 40 "$log" >&2
        done
    done
}

# Lets a moment pass; false once standard input is watched and has ended. A line that was said meanwhile goes into the
# named variable, or is lost.
pause() {
    if [[ -n $until_signal ]]; then
        sleep "$1"
    else
        local status=0
        read -r -t "$1" "${2:-_}" || status=$?
        # Above 128 is the timeout, 0 a line.
        ((status == 0 || status > 128))
    fi
}

# Names the nodes and finds ports for them, and starts their port mapper.
lay_out() {
    local nodes=$1 ports number
    ports=$(free_ports $((nodes * 3 + 1))) || die 'no free ports'
    read -ra NODE_PORTS <<<"$ports"
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/connection-worker-broker.XXXXXX") || die 'no temporary directory'
    (umask 077 && head -c 32 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' >"$DIR/.erlang.cookie")
    chmod 400 "$DIR/.erlang.cookie"
    for ((number = 1; number <= nodes; number++)); do
        NODE_DIRS[number]=$DIR NODE_NAMES[number]="broker-${DIR##*.}-$$@localhost"
        if ((number > 1)); then
            NODE_DIRS[number]=$DIR/$number NODE_NAMES[number]="broker-${DIR##*.}-$$-$number@localhost"
        fi
    done
    for ((number = 1; number <= nodes; number++)); do lay_out_node "$number"; done

    # In the foreground and ours: the one that a node starts by itself outlives it.
    load_node_env "$DIR"
    spawn "$DIR/console.log" epmd -port "${NODE_PORTS[0]}" -address 127.0.0.1
    EPMD_PID=$!
}

amqp_port() { echo "${NODE_PORTS[$1 * 3 - 2]}"; }
amqps_port() { echo "${NODE_PORTS[$1 * 3 - 1]}"; }
dist_port() { echo "${NODE_PORTS[$1 * 3]}"; }

# Writes all that a node reads.
lay_out_node() {
    local number=$1 dir=${NODE_DIRS[$1]} other
    mkdir -p "$dir/log" "$dir/mnesia" "$dir/schema"
    cat >"$dir/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$(amqp_port "$number")
# The node's data is tiny: a nearly full disk is no reason to block its publishers.
disk_free_limit.absolute = 50MB
CONF
    if ((${#NODE_DIRS[@]} > 1)); then
        # The nodes find each other while they start; joining them afterwards would stop and start each once more.
        cat >>"$dir/rabbitmq.conf" <<'CONF'
cluster_formation.peer_discovery_backend = classic_config
# The first one tries in vain to join the others, which wait for it: not for the 5 s of the default.
cluster_formation.discovery_retry_interval = 100
CONF
        for other in "${!NODE_NAMES[@]}"; do
            echo "cluster_formation.classic_config.nodes.$other = ${NODE_NAMES[other]}" >>"$dir/rabbitmq.conf"
        done
    fi
    if [[ -n $tls_cert ]]; then
        # Copied, because the node reads them again long after the caller may have removed them.
        mkdir "$dir/tls"
        cp "$tls_ca" "$dir/tls/ca.pem"
        cp "$tls_cert" "$dir/tls/server.pem"
        cp "$tls_key" "$dir/tls/server-key.pem"
        cat >>"$dir/rabbitmq.conf" <<CONF
listeners.ssl.1 = 127.0.0.1:$(amqps_port "$number")
ssl_options.cacertfile = $dir/tls/ca.pem
ssl_options.certfile = $dir/tls/server.pem
ssl_options.keyfile = $dir/tls/server-key.pem
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_mechanisms.3 = EXTERNAL
CONF
        echo '[rabbitmq_auth_mechanism_ssl].' >"$dir/enabled_plugins"
    else
        echo '[].' >"$dir/enabled_plugins"
    fi
    : >"$dir/rabbitmq-env.conf"

    NODE_ENV=(
        "PATH=$PATH"
        "HOME=$DIR" # where Erlang looks for the cookie
        "LANG=C.UTF-8"
        "LC_ALL=C.UTF-8"
        "ERL_CRASH_DUMP=$dir/erl_crash.dump"
        "ERL_EPMD_ADDRESS=127.0.0.1"
        "ERL_EPMD_PORT=${NODE_PORTS[0]}"
        "RABBITMQ_NODENAME=${NODE_NAMES[number]}"
        "RABBITMQ_DIST_PORT=$(dist_port "$number")"
        "RABBITMQ_CONF_ENV_FILE=$dir/rabbitmq-env.conf" # empty: not the system's
        "RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf"
        "RABBITMQ_ADVANCED_CONFIG_FILE=$dir/advanced.config"
        "RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins"
        "RABBITMQ_MNESIA_BASE=$dir/mnesia"
        "RABBITMQ_SCHEMA_DIR=$dir/schema"
        "RABBITMQ_GENERATED_CONFIG_DIR=$dir/schema"
        "RABBITMQ_LOG_BASE=$dir/log"
        "RABBITMQ_PID_FILE=$dir/pid"
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}"
        # The control tool listens too; any free port instead of a range of eleven, which parallel calls exhaust.
        "RABBITMQ_CTL_DIST_PORT_MIN=0"
        "RABBITMQ_CTL_DIST_PORT_MAX=0"
        "RABBITMQ_CTL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}"
    )
    printf '%s\n' "${NODE_ENV[@]}" >"$dir/environment"
}

spawn_node() {
    local dir=${NODE_DIRS[$1]} log
    # What an earlier life of the node logged must not be taken for this one's.
    for log in "$dir"/log/*.log; do
        [[ ! -e $log ]] || mv "$log" "$log.$SECONDS"
    done
    load_node_env "$dir"
    # With RABBITMQ_ALLOW_INPUT the script becomes the virtual machine instead of waiting for it, so that the process
    # we know is the one to stop; the two arguments restore what else the script would have passed.
    spawn "$dir/console.log" env RABBITMQ_ALLOW_INPUT=1 "$bin/rabbitmq-server" -noinput +B i
    NODE_PIDS[$1]=$!
}

# Waits until a node serves. Fails with 2 when something else took one of its ports, which is worth another attempt, and
# with 1 when the node gives up for another reason or takes too long.
await_node() {
    local number=$1 dir=${NODE_DIRS[$1]} deadline=$((SECONDS + STARTUP_SECONDS))
    until grep -qs 'Server startup complete' "$dir"/log/*.log; do
        if ! alive "$EPMD_PID"; then
            say 'the port mapper stopped'
            return 2
        elif ! alive "${NODE_PIDS[number]}"; then
            say "node $number stopped while it started"
            if grep -qsi -e eaddrinuse -e 'in use' "$dir"/console.log "$dir"/log/*.log; then return 2; fi
            return 1
        elif ((SECONDS >= deadline)); then
            say "node $number was not ready within $STARTUP_SECONDS s"
            return 1
        fi
        pause 0.1 || exit 0
    done
}

# Starts all nodes; fails as `await_node` does.
start_all() {
    local nodes=$1 number
    lay_out "$nodes"
    for ((number = 1; number <= nodes; number++)); do spawn_node "$number"; done
    for ((number = 1; number <= nodes; number++)); do await_node "$number" || return; done
    ((nodes == 1)) || (ctl "$DIR" await_online_nodes "$nodes" >&2) || return 1
}

# Prints what a caller has to know of a node.
introduce() {
    local number=$1 end=''
    ((number == 1)) || end=_$number
    printf '%s\n' "AMQP_URL$end=amqp://guest:guest@127.0.0.1:$(amqp_port "$number")"
    [[ -z $tls_cert ]] || printf '%s\n' "AMQPS_PORT$end=$(amqps_port "$number")"
    printf '%s\n' "RABBITMQ_NODENAME$end=${NODE_NAMES[number]}" "RABBITMQ_PID$end=${NODE_PIDS[number]}" \
        "BROKER_DIR$end=${NODE_DIRS[number]}"
}

# Does what a line of standard input says.
obey() {
    local order number
    read -r order number <<<"$1"
    [[ -n ${NODE_DIRS[number]:-} ]] || die "no such node: $1"
    case $order in
    kill)
        kill_now "${NODE_PIDS[number]}"
        unset "NODE_PIDS[number]"
        echo "kill $number"
        ;;
    start)
        [[ -z ${NODE_PIDS[number]:-} ]] || die "node $number is running"
        spawn_node "$number"
        if ! await_node "$number"; then
            show_logs
            die 'giving up'
        fi
        echo "start $number ${NODE_PIDS[number]}"
        ;;
    *) die "unknown order: $1" ;;
    esac
}

all_alive() {
    local pid
    for pid in "${NODE_PIDS[@]}"; do alive "$pid" || return; done
}

run() {
    local until_signal='' nodes=1 tls_ca='' tls_cert='' tls_key=''
    while (($#)); do
        case $1 in
        --nodes) nodes=${2:?--nodes needs a number} && shift ;;
        --until-signal) until_signal=yes ;;
        --tls-ca) tls_ca=${2:?--tls-ca needs a file} && shift ;;
        --tls-cert) tls_cert=${2:?--tls-cert needs a file} && shift ;;
        --tls-key) tls_key=${2:?--tls-key needs a file} && shift ;;
        *) die "unknown option: $1" ;;
        esac
        shift
    done
    [[ $nodes =~ ^[1-9]$ ]] || die '--nodes needs a number from 1 to 9'
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
    trap stop_all EXIT
    local attempt status number said
    for ((attempt = 1; ; attempt++)); do
        status=0
        start_all "$nodes" || status=$?
        if ((status == 0)); then break; fi
        show_logs
        stop_all
        ((status == 2 && attempt < STARTUP_ATTEMPTS)) || die 'giving up'
        say 'trying again on other ports'
    done
    for ((number = 1; number <= nodes; number++)); do introduce "$number"; done
    echo READY
    while all_alive; do
        if [[ -n $until_signal ]]; then
            wait -n "${NODE_PIDS[@]}" || true
        else
            pause 1 said || exit 0
            [[ -z $said ]] || obey "$said"
        fi
    done
    show_logs
    die 'a node stopped by itself'
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
