# shellcheck shell=bash
# Sourced by demo: what it starts and writes, and how all of it goes away.
# shellcheck disable=SC2154 # root, binary, keep, pods and the colours are demo's

dir=     # everything is in here
agent=   # the agent's process id
address= # of its HTTP server
syncs=   # how many there are
explained=    # the person knows why it ends
ending=  # the status with which Ctrl-C ends KEEP=1

die() {
    explained=yes
    printf '%sdemo: %s%s\n' "$red" "$1" "$plain" >&2
    exit 1
}

# fail MESSAGE: says what did not happen, and what the agent says.
fail() {
    explained=yes
    {
        printf '\n%sFAILED: %s%s\n' "$red" "$1" "$plain"
        if [ -s "$dir/agent.log" ]; then
            echo "The last lines of the agent's log:"
            tail -n 20 "$dir/agent.log" | sed 's/^/    /'
        fi
    } >&2
    if [ -n "$keep" ] && [ -z "$ending" ] && alive; then stay 1; fi
    exit 1
}

open_stage() {
    trap finish EXIT
    trap 'finish INT' INT
    trap 'finish TERM' TERM
    trap 'finish HUP' HUP
    dir=$(mktemp -d "${TMPDIR:-/tmp}/driftless-demo.XXXXXX")
    dir=$(cd "$dir" && pwd -P)
    mkdir "$dir/bin"
}

# finish [SIGNAL]: stops everything, whatever the state of things. Nobody who
# presses Ctrl-C twice gets less than that.
finish() {
    local status=$? tries=0
    trap - EXIT
    trap '' INT TERM HUP PIPE
    # Nobody reads it where the output was a pipe that broke (141).
    if [ "$status" -ne 0 ] && [ "$status" -ne 141 ] && [ -z "$explained$*" ]; then
        echo "demo: broke off unexpectedly (status $status)" >&2
    fi
    if [ -n "$agent" ]; then
        kill -TERM "$agent" 2>/dev/null || true
        while alive && [ "$tries" -lt 30 ]; do
            tries=$((tries + 1))
            pause 0.1
        done
        kill -KILL "$agent" 2>/dev/null || true
    fi
    if [ -n "$dir" ]; then
        if [ -d "$dir/cluster" ]; then "$root/tests/devcluster/down" "$dir/cluster" >/dev/null 2>&1 || true; fi
        rm -rf "$dir"
    fi
    case ${1:-} in
        '') exit "$status" ;;
        INT) if [ -n "$ending" ]; then exit "$ending"; fi ;;
    esac
    # So that make, or whoever else waits, learns the reason.
    trap - "$1"
    kill "-$1" $$
}

# pause SECONDS: without a word when a signal to all of us ends it.
pause() {
    { sleep "$1"; } 2>/dev/null
}

alive() {
    [ -n "$agent" ] && kill -0 "$agent" 2>/dev/null
}

# --- what it starts ---

# What renders and decrypts: named already, beside the binary, or built.
find_helpers() {
    local path
    if [ -z "${DRIFTLESS_RENDERER:-}" ] && [ ! -x "$(dirname "$binary")/driftless-renderer" ]; then
        path=$("$root/renderer/build") || die "driftless-renderer cannot be built"
        export DRIFTLESS_RENDERER=${path##*$'\n'}
    fi
    if [ -z "${DRIFTLESS_DECRYPT:-}" ] && [ ! -x "$(dirname "$binary")/driftless-decrypt" ]; then
        path=$("$root/decrypter/build") || die "driftless-decrypt cannot be built"
        export DRIFTLESS_DECRYPT=${path##*$'\n'}
    fi
}

start_cluster() {
    local start version
    start=$(now)
    note "A control plane starts, in a temporary directory ..."
    if ! "$root/tests/devcluster/up" "$dir/cluster" >/dev/null; then
        die "the control plane does not start"
    fi
    wrapper kubectl "$dir/cluster/kubectl"
    PATH=$dir/bin:$PATH
    version=$(kubectl version 2>/dev/null | sed -n 's/^Server Version: //p')
    ok "Kubernetes $version, after $(since "$start")"
}

make_repository() {
    mkdir "$dir/shop"
    cp -R "$root/manifests-example/." "$dir/shop"
    if [ -z "$pods" ]; then # or what waits for a database to be healthy, or for a Job to succeed, waits in vain
        sed 's|config.kubernetes.io/depends-on|example.com/depends-on|' \
            "$root/manifests-example/prod/backend.yaml" >"$dir/shop/prod/backend.yaml"
        sed '/^migration:/,/enabled:/s|enabled: true|enabled: false|' \
            "$root/manifests-example/charts/reviews/values.yaml" >"$dir/shop/charts/reviews/values.yaml"
    fi
    (
        cd "$dir/shop" || exit
        git init --bare ../shop.git &&
            git --git-dir=../shop.git symbolic-ref HEAD refs/heads/main &&
            git init &&
            git symbolic-ref HEAD refs/heads/main &&
            git config user.name Demo &&
            git config user.email demo@example.com &&
            git remote add origin "file://$dir/shop.git" &&
            git add --all &&
            git commit -m "The shop" &&
            git push --set-upstream origin main
    ) >"$dir/out" 2>&1 || fail "cannot make the git repository: $(tail -n 1 "$dir/out")"
    ok "a git repository, made from manifests-example: $(git -C "$dir/shop" ls-files | count) files"
}

# The configuration of manifests-example, for this repository.
write_config() {
    local settings="s|^\( *\)url: .*|\1url: file://$dir/shop.git|
        s|^\( *\)interval: .*|\1interval: 1s|
        s|^listen: .*|listen: 127.0.0.1:0|
        s|^namespace: .*|&\\
dataDir: $dir/data|"
    if [ -z "$pods" ]; then
        settings+="
        /^ *wait: /d
        s|^\( *\)interval: .*|&\\
\1wait: false|"
    fi
    sed "$settings" "$dir/shop/driftless.yaml" >"$dir/driftless.yaml"
    syncs=$(grep -c '^  - name: ' "$dir/driftless.yaml")
    # Empty variables name no helper: it is the one beside the binary then.
    wrapper driftless env DRIFTLESS_CONFIG="$dir/driftless.yaml" KUBECONFIG="$dir/cluster/kubeconfig" \
        DRIFTLESS_RENDERER="${DRIFTLESS_RENDERER:-}" DRIFTLESS_DECRYPT="${DRIFTLESS_DECRYPT:-}" "$binary"
}

# Everything comes from git but the key that opens what is encrypted there.
give_key() {
    run kubectl create namespace driftless
    run kubectl -n driftless create secret generic sops-keys --from-file=sample.agekey=sample-key-do-not-use.agekey
}

wrapper() { # wrapper NAME COMMAND...: a command of this demo
    local name=$1
    shift
    {
        echo '#!/usr/bin/env bash'
        printf 'exec'
        printf ' %q' "$@"
        # shellcheck disable=SC2016 # for the wrapper to expand
        echo ' "$@"'
    } >"$dir/bin/$name"
    chmod 755 "$dir/bin/$name"
}

start_agent() {
    prompt driftless run --config driftless.yaml --kubeconfig cluster/kubeconfig
    (
        cd "$dir" || exit
        exec "$binary" run --config driftless.yaml --kubeconfig cluster/kubeconfig </dev/null >agent.log 2>&1
    ) &
    agent=$!
    disown "$agent" # or bash announces its end
    await 30 "the agent to serve its status" serves
}

serves() {
    address=$(sed -n 's|.* on \(http://127.0.0.1:[0-9]*\)$|\1|p' "$dir/agent.log")
    [ -n "$address" ]
}

# --- what it leaves ---

stay() { # stay STATUS: until Ctrl-C
    ending=$1
    cat >"$dir/env" <<END
export KUBECONFIG='$dir/cluster/kubeconfig' PATH='$dir/bin':"\$PATH"
cd '$dir/shop'
END
    cat <<END

It stays up until Ctrl-C.
     KUBECONFIG  $dir/cluster/kubeconfig
     repository  file://$dir/shop.git
     log         $dir/agent.log

For kubectl and driftless, and a clone of the repository, in another terminal:
     . $dir/env
and then, for example:
     driftless status
     kubectl -n shop-prod edit deployment/cart    ${dim}# change what git declares: it does not last$plain
     vi dev/cart.yaml
     driftless plan --sync shop-dev --local .     ${dim}# what a push would change$plain
     git commit -am 'A try' && git push           ${dim}# and so it is$plain
END
    while alive; do pause 1; done
    fail "the agent has ended"
}
