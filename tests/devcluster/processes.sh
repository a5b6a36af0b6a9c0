# shellcheck shell=bash
# Sourced by up and down: which process is a component of the cluster in $dir.

# command_line PID: the command line of a process, nothing if there is none (or
# only a zombie whose parent has not noticed yet).
command_line() {
    if [ -d /proc/self ]; then
        { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null || true
    else
        ps -ww -o command= -p "$1" 2>/dev/null || true
    fi
}

# pid_of COMPONENT: its process id if it runs. A pid file alone proves nothing,
# as the number may belong to somebody else's process by now: ours has the
# component's name and the cluster's directory in its arguments.
pid_of() {
    local pid=
    # $dir is the caller's.
    # shellcheck disable=SC2154
    [ -f "$dir/$1.pid" ] || return 0
    read -r pid <"$dir/$1.pid" || true
    case $pid in '' | *[!0-9]*) return 0 ;; esac
    case $(command_line "$pid") in
        *"$1 "*"=$dir/"*) echo "$pid" ;;
    esac
}
