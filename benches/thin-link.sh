#!/usr/bin/env bash
# Replication over a thin link: two network namespaces with a link of 100 Mbit/s, 40 ms and 1 % loss between them, an
# S3 server on the far side; and how even the link is under --limit.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: thin-link.sh [options]
  --rows LIST    of compare,smooth (default: both)
  --nights DIR   where night-1.mbs and night-2.mbs are, or are to be made and left (default: a temporary directory)
  --size MB      size of a night that is made (default 100)
  --rate MBIT    of the link (default 100); --delay MS, there and back (default 40); --loss PERCENT (default 1)
  --limits LIST  limits of the row "smooth", bytes a second (default 1MiB,4MiB,10MiB)
Environment: HAULOUT, the program; GARAGE, the S3 server; TMPDIR.
Needs root (ip netns, /dev/net/tun), python3, iperf3, and restic and rclone for the comparison. The link is link.py and
not tc netem, which the kernels of many machines come without: every frame is counted, delayed and lost by it.

compare  the first night is replicated while the link is cut five times; then restic, haulout and rclone (of haulout's
         repository, as files) send the second night over the link as it is. Bytes are those of the interface, in both
         directions, with headers and with what had to be sent twice.
smooth   the first night over a link without a rate, delay or loss, with --limit: the most that left within any one
         second, and the mean, both in parts of the limit.
TEXT
}

self=$(basename "$0")
here=$(cd "$(dirname "$0")" && pwd)
die() { echo "$self: $*" >&2; exit 1; }
say() { printf '%5ds  %s\n' "$SECONDS" "$*" >&2; }

rows=compare,smooth nights='' size=100 rate=100 delay=40 loss=1 limits=1MiB,4MiB,10MiB
while (($#)); do
    case $1 in
        --rows | --nights | --size | --rate | --delay | --loss | --limits)
            (($# >= 2)) || die "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done
((EUID == 0)) || die "network namespaces need root"
haulout=${HAULOUT:-$(command -v haulout || true)}
garage=${GARAGE:-$(command -v garage || true)}
[[ -x $haulout ]] || die "no haulout: name it in HAULOUT"
[[ -x $garage ]] || die "no S3 server: name garage in GARAGE"

work=$(mktemp -d)
near=hn$$ far=hf$$ link=
clean_up() {
    [[ -z $link ]] || kill "$link" 2>/dev/null || true
    local namespace
    for namespace in "$near" "$far"; do
        ip netns pids "$namespace" 2>/dev/null | xargs -r kill 2>/dev/null || true
        ip netns del "$namespace" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

here_run() { ip netns exec "$near" "$@"; }
there_run() { ip netns exec "$far" "$@"; }

# start_link RATE_BITS DELAY_MS LOSS: replaces the link; what is on its way is lost.
start_link() {
    if [[ -n $link ]]; then
        kill "$link"
        wait "$link" 2>/dev/null || true
    fi
    rm -f "$work/ready"
    python3 "$here/link.py" forward "$near" "$far" --rate "$1" --delay "$2" --loss "$3" >"$work/ready" &
    link=$!
    until grep -q ready "$work/ready"; do
        kill -0 "$link" || die "the link did not start"
        sleep 0.1
    done
}

# Bytes that went over the near interface, both ways.
wire() { here_run cat /proc/self/net/dev | awk -F'[: ]+' '$2 == "link0" { print $3 + $11 }'; }

start_server() {
    start_garage
    local try
    for try in $(seq 300); do
        here_run python3 -c 'import urllib.request as u, urllib.error as e
try: u.urlopen("http://10.77.0.2:3900/test", timeout=2)
except e.HTTPError: pass' 2>/dev/null && return 0
        sleep 0.2
    done
    tail -n 5 "$work/server.log" >&2
    die "the server did not answer after try $try"
}

start_garage() {
    cat >"$work/garage.toml" <<TOML
metadata_dir = "$work/garage/meta"
data_dir = "$work/garage/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:3901"
rpc_public_addr = "127.0.0.1:3901"
rpc_secret = "1799bccfd7411eddcf9ebd316bc1f5287ad12a68094e1c6ac6abde7e6feae1ec"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "0.0.0.0:3900"
TOML
    export AWS_ACCESS_KEY_ID=GK31c2f218a2e44f485b94239e AWS_REGION=us-east-1
    export AWS_SECRET_ACCESS_KEY=b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835
    GARAGE_DEFAULT_ACCESS_KEY=$AWS_ACCESS_KEY_ID GARAGE_DEFAULT_SECRET_KEY=$AWS_SECRET_ACCESS_KEY \
        GARAGE_DEFAULT_BUCKET=test there_run "$garage" -c "$work/garage.toml" server --single-node \
        --default-bucket >"$work/server.log" 2>&1 &
}

endpoint=http://10.77.0.2:3900
# A bundle of the surroundings means another network than this one.
unset AWS_CA_BUNDLE
export HAULOUT_PASSWORD=thin RESTIC_PASSWORD=thin RESTIC_FROM_PASSWORD=thin
export HAULOUT_REPO=$work/near RESTIC_REPOSITORY=$work/restic

replicate() {
    here_run "$haulout" replicate --init --to s3://test/db --endpoint "$endpoint" --allow-http --json
}

rclone_to() {
    here_run rclone --config /dev/null copy "$work/near" ":s3:test/files" --s3-provider Other \
        --s3-env-auth --s3-endpoint "$endpoint" --s3-region us-east-1 --s3-no-check-bucket
}

restic_to() {
    AWS_DEFAULT_REGION=us-east-1 here_run restic -q --no-cache -r "s3:$endpoint/test/restic" "$@"
}

# timed NAME COMMAND...: a line of the table.
timed() {
    local name=$1 before after begin end
    shift
    before=$(wire) begin=$(date +%s%N)
    "$@" >"$work/out" 2>"$work/err" || { tail -n 5 "$work/err" >&2; die "$name failed"; }
    end=$(date +%s%N)
    # What is still on its way, and acknowledged.
    sleep 1
    after=$(wire)
    awk -v name="$name" -v bytes=$((after - before)) -v time=$((end - begin)) \
        'BEGIN { printf "%-44s %12d %10.1f\n", name, bytes, time / 1e9 }' | tee -a "$work/table"
}

member() { python3 -c 'import json, sys
value = json.load(open(sys.argv[1]))
for name in sys.argv[2].split("."): value = value[name]
print(value)' "$1" "$2"; }

with_cuts() {
    replicate >"$work/first.json" 2>"$work/first.err" &
    local sender=$! cut
    for cut in 1 2 3 4 5; do
        sleep 2
        kill -0 "$sender" 2>/dev/null || { say "the transfer was over before cut $cut"; break; }
        kill -USR1 "$link"
        sleep 4
        kill -USR1 "$link"
        cuts=$cut
    done
    wait "$sender"
}

compare() {
    local bits=$((rate * 1000000)) cuts=0 before
    start_link "$bits" "$(awk -v d="$delay" 'BEGIN { print d / 2 }')" "$loss"
    start_server
    there_run iperf3 -s -1 >/dev/null 2>&1 &
    sleep 0.5
    say "iperf3, 16 connections: $(here_run iperf3 -c 10.77.0.2 -t 5 -P 16 -f m | awk '/SUM.*receiver/ { print $6, $7 }')"

    "$haulout" -q init
    "$haulout" -q backup --source db <"$nights/night-1.mbs"
    restic -q init
    restic -q backup --stdin --stdin-filename db.mbs <"$nights/night-1.mbs"
    say "the first night, cut five times for 4 s each"
    before=$(wire)
    with_cuts
    sleep 1
    say "cut $cuts times; $(member "$work/first.json" sent.bytes) bytes planned and sent, $(($(wire) - before)) on the wire"
    rclone_to
    restic_to init --from-repo "$work/restic" --copy-chunker-params
    restic_to copy --from-repo "$work/restic"

    "$haulout" -q backup --source db <"$nights/night-2.mbs"
    restic -q backup --stdin --stdin-filename db.mbs <"$nights/night-2.mbs"
    printf '%-44s %12s %10s\n' 'the second night' 'wire bytes' seconds | tee -a "$work/table"
    timed 'haulout replicate' replicate
    say "$(member "$work/out" sent.bytes) bytes in $(member "$work/out" sent.objects) objects"
    timed 'rclone copy, of the same repository' rclone_to
    timed 'restic copy, of a repository of its own' restic_to copy --from-repo "$work/restic"
    timed 'haulout replicate, nothing new' replicate
    timed 'rclone copy, nothing new' rclone_to
    timed 'restic copy, nothing new' restic_to copy --from-repo "$work/restic"
    say "what arrived: $(here_run "$haulout" -r s3://test/db --endpoint "$endpoint" --allow-http restore latest \
        --stdout -q | cmp - "$nights/night-2.mbs" && echo 'restores to the same bytes')"
}

# Without python in the way of a byte: a pair of interfaces, and a kernel that makes no large segments.
smooth() {
    local limit bytes
    ip link add link0 netns "$near" type veth peer name link0 netns "$far"
    ip -n "$near" link set link0 up gso_max_segs 1
    ip -n "$far" link set link0 up gso_max_segs 1
    ip -n "$near" address add 10.77.0.1/24 dev link0
    ip -n "$far" address add 10.77.0.2/24 dev link0
    ip -n "$near" link set lo up
    ip -n "$far" link set lo up
    start_server
    "$haulout" -q init
    "$haulout" -q backup --source db <"$nights/night-1.mbs"
    for limit in ${limits//,/ }; do
        bytes=$(numfmt --from=iec-i "${limit%B}")
        here_run python3 "$here/link.py" sample link0 20 "$bytes" >"$work/sample" &
        local sampler=$!
        until grep -q ready "$work/sample"; do sleep 0.1; done
        here_run timeout 18 "$haulout" replicate -q --init --to "s3://test/$limit" --endpoint "$endpoint" --allow-http \
            --limit "$limit" || true
        wait "$sampler"
        echo "--limit $limit: $(tail -n 1 "$work/sample")"
    done
}

[[ -n $nights ]] || nights=$work/nights
[[ -e $nights/night-2.mbs ]] || "$here/nights.sh" "$nights" --size "$size" --nights 2 >&2
for row in ${rows//,/ }; do
    ip netns add "$near"
    ip netns add "$far"
    case $row in
        compare | smooth) "$row" ;;
        *) die "unknown row $row" ;;
    esac
    if [[ -n $link ]]; then
        kill "$link"
        wait "$link" 2>/dev/null || true
        link=
    fi
    ip netns pids "$far" | xargs -r kill 2>/dev/null || true
    ip netns del "$near"
    ip netns del "$far"
    rm -rf "$work/near" "$work/restic" "$work/garage"
done
