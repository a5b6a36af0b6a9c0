# shellcheck shell=bash
# Sourced by demo: what it says, and how. At most 100 columns; plain text where
# nobody looks at a terminal.

width=100
bold='' dim='' green='' red='' cyan='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' plain=$'\e[0m'
fi

title() {
    printf '\n%s%s%s\n\n' "$bold" "$1" "$plain"
}

heading() {
    printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}

step() { # step NUMBER NAME WHAT
    printf '\n%s%s/7%s  %s%s%s\n     %s\n' "$cyan" "$1" "$plain" "$bold" "$2" "$plain" "$3"
}

note() {
    printf '     %s\n' "$1"
}

ok() {
    printf '  %sok%s %s\n' "$green" "$plain" "$1"
}

finale() {
    printf '\n%s%s%s%s\n' "$bold" "$green" "$1" "$plain"
}

# quoted WORD...: as one would type it.
quoted() {
    local word line=
    for word; do
        case $word in
            '' | *[!A-Za-z0-9_./:=@%+,-]*) word="'$word'" ;;
        esac
        line+=" $word"
    done
    printf '%s' "${line# }"
}

prompt() { # prompt WORD...: a command, as if it were typed
    printf '   %s$ %s%s\n' "$dim" "$(quoted "$@")" "$plain"
}

# indented COLUMNS: what a command or the log says, wrapped.
indented() {
    local line
    fold -s -w $((width - $1)) | while IFS= read -r line; do
        line=${line%"${line##*[! ]}"}
        printf '%*s%s\n' "${line:+$1}" '' "$line"
    done
}

change() { # change LINE: a line of a diff
    local colour=$green
    case $1 in -*) colour=$red ;; esac
    printf '       %s%s%s\n' "$colour" "$1" "$plain"
}

row() {
    printf '     %s%-34s%s  %s\n' "$cyan" "$1" "$plain" "$2"
}

metric() { # metric NAME VALUE WHAT
    printf '       %-32s %6s  %s\n' "$1" "$2" "$3"
}

# --- time ---

# now: milliseconds; whole seconds where bash (before 5) does not know better.
now() {
    local time=${EPOCHREALTIME:-$(date +%s).000000}
    time=${time/[.,]/}
    echo "${time%???}"
}

since() { # since START
    local took=$(($(now) - $1))
    printf '%d.%d s' $((took / 1000)) $((took % 1000 / 100))
}
