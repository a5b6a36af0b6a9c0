# shellcheck shell=bash
# Sourced by demo: doing things as a person would, and looking at what came of
# them. Nothing waits without a deadline.
# shellcheck disable=SC2154 # dir, agent, address, syncs and pods are demo's and stage.sh's

run() { # run COMMAND...: shows it and does it, in the clone; its output is of interest if it fails
    prompt "$@"
    { (cd "$dir/shop" && "$@") >"$dir/out" 2>&1; } 2>/dev/null || fail "$1 says: $(tail -n 3 "$dir/out")"
}

show() { # show COMMAND...: its output is what matters, not its status
    prompt "$@"
    { "$@" >"$dir/out" 2>&1; } 2>/dev/null || true
    indented 5 <"$dir/out"
}

# await SECONDS WHAT CONDITION...: until it holds.
await() {
    local deadline=$((SECONDS + $1)) seconds=$1 what=$2
    shift 2
    until "$@"; do
        alive || fail "the agent has ended"
        [ "$SECONDS" -lt "$deadline" ] || fail "waited $seconds seconds in vain for $what"
        pause 0.1
    done
}

count() {
    awk 'END { print NR }'
}

# --- git ---

head_commit() {
    git -C "$dir/shop" rev-parse HEAD
}

replace() { # replace FILE OLD NEW: an edit, shown as a diff
    sed "s|$2|$3|" "$dir/shop/$1" >"$dir/out"
    cat "$dir/out" >"$dir/shop/$1"
    note "$1"
    git -C "$dir/shop" diff -U0 -- "$1" | grep '^[-+] ' | sed 's/^\(.\) */\1 /' | while IFS= read -r line; do
        change "$line"
    done
}

# --- the cluster ---

field() { # field OBJECT JSONPATH: of an object in shop-prod; nothing if there is none
    kubectl -n shop-prod get "$1" --ignore-not-found -o "jsonpath=$2" 2>/dev/null
}

field_is() { # field_is OBJECT JSONPATH VALUE
    [ "$(field "$1" "$2")" = "$3" ]
}

image_is() { # image_is DEPLOYMENT TAG
    case $(field "deployment/$1" '{.spec.template.spec.containers[0].image}') in
        *":$2") ;;
        *) return 1 ;;
    esac
}

is_gone() { # is_gone OBJECT: fails when that cannot be known
    local name
    name=$(kubectl -n shop-prod get "$1" --ignore-not-found -o name 2>/dev/null) && [ -z "$name" ]
}

is_another() { # is_another OBJECT UID
    local uid
    uid=$(field "$1" '{.metadata.uid}')
    [ -n "$uid" ] && [ "$uid" != "$2" ]
}

# rolled_out DEPLOYMENT: checks that all its replicas run what its spec says now,
# and says so; nothing where there are no pods.
rolled_out() {
    local counts want updated available
    if [ -z "$pods" ]; then return; fi
    counts=$(field "deployment/$1" '{.spec.replicas} {.status.updatedReplicas} {.status.availableReplicas}')
    read -r want updated available <<<"$counts"
    if [ "$want" != "$updated" ] || [ "$want" != "$available" ]; then
        fail "of $want replicas of Deployment $1, ${updated:-0} are updated and ${available:-0} available"
    fi
    echo " in $updated of $want replicas"
}

# migrated DEPLOYMENT TAG: checks that the chart's Job succeeded with this image,
# and before the Deployment had it, and says so; nothing where there are no pods.
migrated() {
    local image succeeded ended started
    if [ -z "$pods" ]; then return; fi
    read -r image succeeded ended <<<"$(field "job/$1-migration" \
        '{.spec.template.spec.containers[0].image} {.status.succeeded} {.status.completionTime}')"
    case $image in
        *":$2") ;;
        *) fail "Job $1-migration has the image $image" ;;
    esac
    [ "$succeeded" = 1 ] || fail "Job $1-migration has not succeeded"
    started=$(kubectl -n shop-prod get replicasets -l "app.kubernetes.io/name=$1" --sort-by=.metadata.creationTimestamp \
        -o 'jsonpath={.items[-1:].metadata.creationTimestamp}')
    if [[ $started < $ended ]]; then fail "Deployment $1 was rolled out at $started, and the migration ended at $ended"; fi
    ok "Job $1-migration: ran again with $2, and the Deployment was not touched before it had succeeded"
}

# members: every object that driftless manages, with its UID. Which kinds to
# ask for is on the parents, as for any ApplySet.
members() {
    local kinds
    kinds=$(kubectl -n driftless get configmaps -l driftless.dev/sync \
        -o 'jsonpath={range .items[*]}{.metadata.annotations.applyset\.kubernetes\.io/contains-group-kinds},{end}')
    kubectl get "$(tr ',' '\n' <<<"$kinds" | sort -u | grep . | paste -sd , -)" --all-namespaces \
        -l applyset.kubernetes.io/part-of --sort-by=.metadata.uid \
        -o 'jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.uid}{"\n"}{end}'
}

same() { # same MEMBERS: checks that the managed objects are these, and no others
    local after
    after=$(members)
    if [ "$after" != "$1" ]; then
        diff <(echo "$1") <(echo "$after") | indented 7
        fail "the objects in the cluster are not those that should be there"
    fi
}

# --- what the agent says ---

# The status of each sync is in its parent, in YAML.
all_synced() {
    kubectl -n driftless get configmaps -l driftless.dev/sync \
        -o 'jsonpath={range .items[*]}{.data.status}{"\n"}{end}' 2>/dev/null |
        awk -v commit="$(head_commit)" -v syncs="$syncs" '
            /^phase: Synced$/ { synced++ }
            $1 == "id:" && $2 == commit { current++ }
            END { exit !(synced == syncs && current == syncs) }'
}

phase_is() { # phase_is SYNC PHASE
    kubectl -n driftless get "configmap/driftless-$1" -o 'jsonpath={.data.status}' 2>/dev/null |
        grep "^phase: $2\$" >/dev/null
}

log_after() { # log_after LINE: the log without its first lines
    tail -n +$(($1 + 1)) "$dir/agent.log"
}

has_said() { # has_said LINE TEXT TIMES
    [ "$(log_after "$1" | grep -c "$2")" -ge "$3" ]
}

said() { # said LINE TEXT: shows what the agent said about it
    note "The agent says:"
    log_after "$1" | grep "$2" | sed 's/^[^ ]* *[A-Z]* //' | indented 7
}

# fetch PATH: an answer of the agent's HTTP server. In a subshell, which a
# refused connection ends.
fetch() (
    exec 3<>"/dev/tcp/127.0.0.1/${address##*:}"
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3
    sed $'1,/^\r$/d' <&3
)

series() { # series PATTERN: the sum of the series that it matches
    fetch /metrics | awk -v pattern="^$1" '$0 ~ pattern { sum += $NF } END { print sum + 0 }'
}

mean() { # mean HISTOGRAM
    fetch /metrics | awk -v name="$1" '
        index($0, name "_sum") == 1 { sum += $NF }
        index($0, name "_count") == 1 { count += $NF }
        END { if (count) printf "%.1f s\n", sum / count; else print "-" }'
}
