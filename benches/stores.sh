#!/usr/bin/env bash
# Backup and restore on real servers, next to a plain parallel PUT and GET of the same objects.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: stores.sh [options] SERVER...
  --mb N          size of the stream of random bytes (default 300)
  --stream FILE   a stream to take instead
  --rounds N      rounds, in which both take turns (default 3)
Servers are those of tests/stores (garage, garage3, ceph); rclone puts and gets the very packs that haulout
made, eight at a time, from memory and into memory. It signs no bytes, over plain HTTP neither, so
AWS_UNSIGNED_PAYLOAD is true for haulout unless it is set. Figures are medians; a ratio is haulout's
speed by rclone's, the bar is 0.8.
Environment: AWS_UNSIGNED_PAYLOAD; HAULOUT, the program (default: built here with optimisations); GARAGE; WORK, a directory
(default: a new one in /dev/shm).
TEXT
}

cd "$(dirname "$0")/.."
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
say() { printf '%5ds  %s\n' "$SECONDS" "$*" >&2; }
die() {
    echo "benches/stores.sh: $*" >&2
    exit 1
}

mb=300 stream='' rounds=3 servers=()
while (($#)); do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --mb | --stream | --rounds)
            (($# >= 2)) || die "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift ;;
        -*) usage >&2; die "unknown option $1" ;;
        *) servers+=("$1") ;;
    esac
    shift
done
((${#servers[@]})) || { usage >&2; exit 2; }
command -v rclone >/dev/null || die "rclone is not installed"
work=${WORK:-$(mktemp -d -p /dev/shm)}
made=
[[ -n ${WORK:-} ]] || made=$work
mkdir -p "$work"

# shellcheck source=tests/stores/servers.sh
. tests/stores/servers.sh
trap 'stop_server; [[ -z $made ]] || rm -rf "$made"' EXIT
for server in "${servers[@]}"; do
    [[ " garage garage3 ceph " == *" $server "* ]] || die "no server of S3 is known as $server"
done

if [[ -z ${HAULOUT:-} ]]; then
    cargo build --release --locked --bin haulout
    HAULOUT=${CARGO_TARGET_DIR:-target}/release/haulout
fi
if [[ -z $stream ]]; then
    stream=$work/stream
    head -c "${mb}M" /dev/urandom >"$stream"
fi
export HAULOUT_PASSWORD=bench AWS_UNSIGNED_PAYLOAD=${AWS_UNSIGNED_PAYLOAD:-true}

haulout() {
    "$HAULOUT" -q --repo "s3://test/$1" --endpoint "$endpoint" --allow-http "${@:2}"
}

plain() {
    # Its library knows this variable, and its own connections do not.
    env -u AWS_CA_BUNDLE RCLONE_CONFIG=/dev/null rclone --quiet --transfers 8 --checkers 8 \
        --s3-provider Other --s3-env-auth --s3-endpoint "$endpoint" --s3-no-check-bucket \
        --s3-force-path-style --s3-upload-cutoff 1Gi --s3-disable-checksum "$@"
}

# Runs words, and appends the seconds to a file.
timed() {
    local file=$1 began=${EPOCHREALTIME/./}
    shift
    "$@"
    echo "$((${EPOCHREALTIME/./} - began))" >>"$file"
}

median() { sort -n "$1" | sed -n "$(((rounds + 1) / 2))p"; }

back_up() { haulout "$1" backup --source bench <"$stream"; }
restore() { haulout "$1" restore latest --stdout >/dev/null; }

measure() {
    local server=$1 round dir=$work/figures bytes
    rm -rf "$dir" "$work/packs"
    mkdir -p "$dir"
    for ((round = 1; round <= rounds; round++)); do
        haulout "round$round" init
        timed "$dir/backup" back_up "round$round"
        rm -rf "$work/packs"
        timed "$dir/get" plain copy ":s3:test/round$round/packs" "$work/packs"
        timed "$dir/put" plain copy "$work/packs" ":s3:test/plain$round"
        timed "$dir/restore" restore "round$round"
        say "$server: round $round"
    done
    bytes=$(du -sb --apparent-size "$work/packs" | cut -f1)
    awk -v server="$server" -v mb=$((bytes / 1000000)) -v backup="$(median "$dir/backup")" \
        -v put="$(median "$dir/put")" -v restore="$(median "$dir/restore")" \
        -v get="$(median "$dir/get")" 'BEGIN {
            form = "%-8s %-8s %5d MB  haulout %6.2f s  rclone %6.2f s  ratio %.2f\n"
            printf form, server, "backup", mb, backup / 1e6, put / 1e6, put / backup
            printf form, server, "restore", mb, restore / 1e6, get / 1e6, get / restore
        }'
}

for server in "${servers[@]}"; do
    say "$server: starting"
    start_server "$server"
    measure "$server"
    stop_server
done
