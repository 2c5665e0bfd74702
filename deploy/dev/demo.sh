#!/usr/bin/env bash
#
# Shows the worker at its main job: five jobs go in, five replies come out, two of them good news.
#
# Everything it needs is started here and stopped at the end. Ends with 0 only if each job met its intended fate.

# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/stage.sh"

# What Flow Service is to do with the jobs that have something to show; it repeats the secret, as real ones do.
FAULTS=(
    --fault '{"name":"connection in a hurry","count":1,"fault":{"kind":"throttle","retryAfter":"2"}}'
    --fault '{"name":"connection with a wrong secret","fault":{"kind":"status","status":400,"code":"1100-400",
        "message":"The request could not be processed. Error from flow provider: HubSpot answered 401, the client secret not-the-real-secret is wrong."}}'
)

# Every job: what is special about it, and what its reply and its number of calls must be.
NAMES=(hubspot throttled wrong-secret unknown-source typo)
declare -A ABOUT=(
    [hubspot]="the job of Adobe's tutorial: connect HubSpot"
    [throttled]='Flow Service will be busy: 429, Retry-After: 2'
    [wrong-secret]='HubSpot will refuse the client secret'
    [unknown-source]='names a connection spec that does not exist'
    [typo]='says sandboxnme where it means sandboxName'
)
declare -A INTENDED=(
    [hubspot]='created 1'
    [throttled]='created 2'
    [wrong-secret]='rejected 1100-400 1'
    [unknown-source]='rejected 1413-400 1'
    [typo]='invalid_job 0'
)

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' GREEN=$'\e[32m' YELLOW=$'\e[33m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
    BOLD='' DIM='' GREEN='' YELLOW='' RED='' PLAIN=''
fi
FAULTY=0

heading() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }

row() { printf '   %-16s%s\n' "$1" "$2"; }

wrong() {
    FAULTY=$((FAULTY + 1))
    printf '   %s%s%s\n' "$RED" "$*" "$PLAIN"
}

# The value of a key in the JSON of a reply; nothing if it has none.
field() {
    local pattern="\"$2\":(\"(([^\"\\\\]|\\\\.)*)\"|[0-9]+)"
    [[ $1 =~ $pattern ]] || return 0
    local value=${BASH_REMATCH[2]:-${BASH_REMATCH[1]}}
    value=${value//\\\"/\"}
    printf '%s' "${value//\\\\/\\}"
}

# Shows a reply and compares it with what was intended.
show() {
    local reply=$1 colour=$GREEN name id etag code flow attempts message
    name=$(field "$reply" jobId)
    id=$(field "$reply" id)
    etag=$(field "$reply" etag)
    code=$(field "$reply" code)
    flow=$(field "$reply" flowCode)
    attempts=$(field "$reply" attempts)
    message=$(field "$reply" message)
    [[ -z $code ]] || colour=$YELLOW
    printf ' < %-16s%s%s%s%s%s, calls: %s%s\n' "$name" "$colour" "$(field "$reply" status)${code:+, $code}" "$PLAIN" \
        "$DIM" "${flow:+, $flow}" "$attempts" "$PLAIN"
    if [[ -z $code ]]; then
        row '' "id    $id"
        row '' "etag  $etag"
        [[ -n $id && -n $etag ]] || wrong "$name: the reply has no id or no etag"
    else
        fold -s -w 80 <<<"$message" | sed 's/^/                   /; s/ *$//'
    fi

    local found="${code:-created} ${flow:+$flow }$attempts"
    [[ $found == "${INTENDED[$name]:-}" ]] || wrong "$name: got '$found', intended '${INTENDED[$name]:-nothing}'"
    case $name in
    wrong-secret) [[ $message == *'flow provider'*'[redacted]'* ]] || wrong "$name: no explanation without the secret" ;;
    typo) [[ $message == *'sandboxnme'*'did you mean sandboxName'* ]] || wrong "$name: no hint at the right name" ;;
    esac
    [[ $reply != *not-the-real-secret* ]] || wrong "$name: the reply repeats the secret"
}

# What stands in the metrics, by the value of a label, without the zeros; `$4` narrows the lines down.
counts() {
    awk -v metric="connection_worker_$2{" -v label="$3=\"" -v only="${4:-}" '
        index($0, metric) == 1 && index($0, only) && $NF > 0 {
            value = substr($0, index($0, label) + length(label))
            printf "%s%s: %d", separator, substr(value, 1, index(value, "\"") - 1), $NF
            separator = ", "
        }' <<<"$1"
}

# How long jobs took, from the buckets of all outcomes together: half of them, and all.
job_times() {
    awk '
        /^connection_worker_job_duration_seconds_bucket/ {
            match($0, /le="[^"]*"/)
            bound = substr($0, RSTART + 4, RLENGTH - 5)
            if (!(bound in below)) bounds[++last] = bound
            below[bound] += $NF
        }
        END {
            for (i = 1; i <= last && !all; i++) {
                if (!half && below[bounds[i]] * 2 >= below["+Inf"]) half = bounds[i]
                if (below[bounds[i]] == below["+Inf"]) all = bounds[i]
            }
            printf "half within %s s, all within %s s", half, all
        }' <<<"$1"
}

# A line about the metrics, compared with what was intended.
count_row() {
    row "$1" "$2"
    [[ $2 == "$3" ]] || wrong "intended $3"
}

# Whether every reply that was read is in METRICS: a reply can be here before the worker has counted it.
all_counted() {
    METRICS=$(stage_metrics)
    awk -v replies="$REPLIES" '
        /^connection_worker_jobs_completed_total/ { sum += $NF }
        END { exit sum < replies }' <<<"$METRICS"
}

printf '%sconnection-worker at its main job%s\n' "$BOLD" "$PLAIN"
echo 'Jobs come from RabbitMQ, connections go to Flow Service, and every job gets a reply.'

heading 'Building; the first time takes minutes'
stage_build
SECONDS=0

heading 'Starting, in some ten seconds'
stage_open "${FAULTS[@]}"
row broker "$BROKER_AT"
row simulator "$SIMULATOR_AT, in the place of Flow Service and IMS"
row worker "$WORKER_AT/metrics, takes jobs from $JOB_QUEUE"

heading 'Sending all at once, with connection-worker submit --wait'
FILES=()
for name in "${NAMES[@]}"; do
    printf ' > %-16s%s\n' "$name" "${ABOUT[$name]}"
    FILES+=("$DEV/jobs/$name.json")
done

heading 'Replies as they come: a job that must wait holds up no other'
REPLIES=0
while read -r reply; do
    REPLIES=$((REPLIES + 1))
    show "$reply"
done < <(cat "${FILES[@]}" | stage_run "$WORKER" submit --wait --timeout 15s 2>"$STAGE/submit.log")
((REPLIES == ${#NAMES[@]})) || wrong "$REPLIES replies to ${#NAMES[@]} jobs"

heading 'What the worker counted'
stage_await 10 'the worker' all_counted
count_row 'jobs' "$(counts "$METRICS" jobs_completed_total outcome)" 'created: 2, invalid_job: 1, rejected: 2'
count_row 'replies' "$(counts "$METRICS" messages_published_total result 'kind="reply"')" 'confirmed: 5'
count_row 'retries' "$(counts "$METRICS" retries_scheduled_total kind)" 'throttled: 1'
count_row 'HTTP statuses' "$(counts "$METRICS" http_requests_total status 'upstream="flow"')" '201: 2, 400: 2, 429: 1'
row 'time per job' "$(job_times "$METRICS")"

((FAULTY == 0)) || stage_die "not as intended: $FAULTY of the above"
stage_close 0
printf '\n%sAll as intended, and stopped again, in %s s.%s Next, try:\n' "$GREEN" "$SECONDS" "$PLAIN"
cat <<'NEXT'
   make examples   send such a job from Python and Node
   make broker     run a broker of your own; submit sends it deploy/dev/jobs/*.json
   make run        run the worker with your settings; it says which are missing
NEXT
