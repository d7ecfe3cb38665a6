#!/usr/bin/env bash
# The end-to-end comparison: haulout, an earlier version of it and its peers on streams of a real server, every figure
# against its bar.
#
# Streams and repositories lie in memory unless --store says otherwise: what is measured is the work, not a disk.
# Programs take turns within a round; the figures are medians of the rounds. Making the streams takes a server and most
# of an hour: --prepare does it beforehand, packed, and stops.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: compare.sh [options]
  --rows LIST     of first,next,restore,thirty,loads,threads (default: all)
  --rounds N      rounds of each measurement (default 5)
  --before PROG   an earlier haulout, which takes turns with this one; without it, ratios to it are not measured
  --nights DIR    where the streams are, or are to be made and left: DIR/sysbench, DIR/uuid, DIR/queue, DIR/thirty,
                  DIR/hot, DIR/insert, DIR/alter, DIR/encrypted, each as nights.sh --packed makes it
                  (default: a temporary directory)
  --prepare       make the streams of these rows that are missing in DIR, and stop
  --store DIR     where repositories are made and streams unpacked (default: /dev/shm if it has room, else TMPDIR)
  --peers LIST    of restic,rustic,borg,bupstash, or none (default: those that are installed); zstd is always there
  --peer-rounds N rounds that peers take part in: what they store does not vary (default 1)
  --out FILE      keep the raw figures, one line per run
Environment: HAULOUT=PROGRAM measures that program instead of building one; TMPDIR.
TEXT
}

self=$(basename "$0")
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

die() { echo "$self: $*" >&2; exit 1; }
say() { printf '%5ds  %s\n' "$SECONDS" "$*" >&2; }

# --- arguments ----------------------------------------------------------------

rows=first,next,restore,thirty,loads,threads rounds=5 before='' nights='' prepare=no store='' peers='' peer_rounds=1 out=''
while (($#)); do
    case $1 in
        --rows | --rounds | --before | --nights | --store | --peers | --peer-rounds | --out)
            (($# >= 2)) || die "$1 needs a value"
            name=${1#--}
            printf -v "${name//-/_}" %s "$2"
            shift ;;
        --prepare) prepare=yes ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done
for n in "$rounds" "$peer_rounds"; do [[ $n =~ ^[1-9][0-9]*$ ]] || die "not a positive number: $n"; done
for row in ${rows//,/ }; do
    [[ $row =~ ^(first|next|restore|thirty|loads|threads)$ ]] || die "unknown row: $row"
done
wants() { [[ ,$rows, == *,$1,* ]]; }
[[ -z $before ]] || before=$(command -v "$before") || die "--before: no such program"
[[ $prepare == no || -n $nights ]] || die "--prepare leaves the streams in a directory: name it with --nights"

for tool in zstd jq awk mbstream; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
done
[[ -x /usr/bin/time ]] || die "GNU time is not installed (package time)"
found=()
for tool in restic rustic borg bupstash; do
    if command -v "$tool" >/dev/null && [[ -z $peers || ,$peers, == *,$tool,* ]]; then found+=("$tool"); fi
done
has() { [[ " ${found[*]} " == *" $1 "* ]]; }

# --- places -------------------------------------------------------------------

temporary=()
clean_up() {
    local status=$?
    trap - EXIT INT TERM
    rm -rf "${temporary[@]}"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

work=$(mktemp -d)
temporary+=("$work")
if [[ -z $nights ]]; then
    nights=$(mktemp -d)
    temporary+=("$nights")
fi

loads=(uuid queue oltp hot insert alter rebuilt encrypted)

# streams CASE LAST OPTIONS: makes the streams of a case, up to night LAST, unless they are there.
streams() {
    local case=$1 last=$2
    shift 2
    if compgen -G "$nights/$case/night-$last.mbs*" >/dev/null; then return; fi
    say "making the streams of $case"
    "$here/nights.sh" "$nights/$case" --packed --nights "$last" "$@" >&2
}

if wants first || wants next || wants restore || wants threads; then
    streams sysbench 2 --load sysbench --size 2840
fi
if wants loads; then
    streams uuid 2 --load uuid --size 2600
    streams queue 2 --load queue --size 2600
    for load in hot insert alter rebuilt encrypted; do streams "$load" 2 --load "$load" --size 650; done
fi
# The first two of them are the load oltp.
if wants thirty || wants loads; then streams thirty 30 --size 650; fi
if [[ $prepare == yes ]]; then
    du -sh "$nights"/*/ >&2
    exit 0
fi

# Two streams, a file of zstd, a repository of each haulout or of a peer, what is restored: at most this many bytes.
need=$((14 << 30))
room() { df --output=avail -B1 "$1" | tail -n 1; }
available_memory() { awk '/^MemAvailable/ {print $2 * 1024}' /proc/meminfo; }
if [[ -z $store ]]; then
    store=${TMPDIR:-/tmp}
    # What lies there takes memory, and so does the page cache of the streams.
    if [[ -w /dev/shm ]] && (($(room /dev/shm) > need && $(available_memory) > need + (4 << 30))); then
        store=/dev/shm
    fi
fi
(($(room "$store") > need)) || die "$store has no room for $((need >> 20)) MiB"
kind_of_store=$(df --output=fstype "$store" | tail -n 1)
store=$(mktemp -d "$store/haulout-compare.XXXXXX")
temporary+=("$store")

# unpack CASE NIGHT: leaves the stream in $ground/night-NIGHT.mbs. A patch needs the night before there.
ground=$store/streams
unpack() {
    local from=$nights/$1/night-$2.mbs to=$ground/night-$2.mbs
    mkdir -p "$ground"
    if [[ -e $from ]]; then
        ln -sf "$(realpath "$from")" "$to"
        cat "$to" >/dev/null
    elif [[ -e $from.zst ]]; then
        zstd -dqf -o "$to" "$from.zst"
    else
        zstd -dqf --long=31 --patch-from="$ground/night-$(($2 - 1)).mbs" -o "$to" "$from.patch"
    fi
}
# on_ground CASE LAST: the first streams of a case, and no others.
on_ground() {
    local case=$1 night
    [[ $case != oltp ]] || case=thirty
    rm -rf "$ground"
    for ((night = 1; night <= $2; night++)); do unpack "$case" "$night"; done
    # Nothing is written back while the programs run.
    [[ $kind_of_store == tmpfs ]] || sync
}

if [[ -n ${HAULOUT:-} ]]; then
    haulout=$(command -v "$HAULOUT") || die "HAULOUT=$HAULOUT is no program"
else
    say "building haulout"
    (cd "$here/.." && cargo build --quiet --release --locked --bin haulout >&2)
    haulout=$(cd "$here/.." && cargo metadata --format-version 1 --no-deps | jq -r .target_directory)/release/haulout
fi

# Everything but the repositories' passwords is as the programs have it by default.
export HAULOUT_PASSWORD=x RESTIC_PASSWORD=x RUSTIC_PASSWORD=x BORG_PASSPHRASE=x
export RESTIC_CACHE_DIR=$store/cache/restic RUSTIC_CACHE_DIR=$store/cache/rustic RUSTIC_NO_PROGRESS=true
export BORG_BASE_DIR=$store/cache/borg BUPSTASH_KEY=$store/bupstash.key
export BUPSTASH_SEND_LOG=$store/cache/bupstash.send BUPSTASH_QUERY_CACHE=$store/cache/bupstash.query
mkdir "$store/cache"

# --- measuring ----------------------------------------------------------------

runs=${out:-$work/runs.tsv}
: >"$runs"

# timed CASE TOOL IN OUT COMMAND...: runs COMMAND once and adds a line: case, tool, wall s, CPU s, peak MiB, bytes.
# The bytes are those by which $store/TOOL grows.
timed() {
    local case=$1 tool=$2 in=$3 to=$4 before wall user system rss
    shift 4
    before=$(size_of "$(place_of "$tool")")
    /usr/bin/time -q -o "$work/time" -f '%e %U %S %M' "$@" <"$in" >"$to" 2>"$work/err" ||
        { tail -n 20 "$work/err" >&2; die "$case, $tool: failed: $*"; }
    read -r wall user system rss <"$work/time"
    awk -v OFS='\t' -v c="$case" -v t="$tool" -v w="$wall" -v u="$user" -v s="$system" -v m="$rss" \
        -v b="$(($(size_of "$(place_of "$tool")") - before))" \
        'BEGIN { print c, t, w, u + s, m / 1024, b }' >>"$runs"
}

# "haulout, read-back off" keeps its repository where haulout does.
place_of() { echo "$store/${1%%[ ,]*}"; }
size_of() { if [[ -e $1 ]]; then du -sb --apparent-size "$1" | cut -f1; else echo 0; fi; }

# figure CASE TOOL COLUMN [median|min|max|sum]: of the runs so far.
figure() {
    awk -F'\t' -v c="$1" -v t="$2" -v k="$3" '$1 == c && $2 == t { print $k }' "$runs" | sort -g | awk -v how="${4:-median}" '
        { a[NR] = $1; sum += $1 }
        END {
            if (!NR) { print "nan"; exit }
            if (how == "min") print a[1]
            else if (how == "max") print a[NR]
            else if (how == "sum") print sum
            else print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2
        }'
}
wall=3 cpu=4 bytes=6

# --- the programs -------------------------------------------------------------

create() {
    rm -rf "${store:?}/$1"
    case $1 in
        haulout) "$haulout" --quiet --repo "$store/haulout" init ;;
        before) "$before" --quiet --repo "$store/before" init ;;
        restic) restic -q -r "$store/restic" init ;;
        rustic) rustic -r "$store/rustic" init ;;
        borg) borg init --encryption=repokey-blake2 "$store/borg" ;;
        bupstash)
            rm -f "$BUPSTASH_KEY"
            bupstash new-key -o "$BUPSTASH_KEY"
            bupstash init -r "$store/bupstash" ;;
    esac >"$work/err" 2>&1 || { cat "$work/err" >&2; die "$1 can't make a repository"; }
}
destroy() { rm -rf "${store:?}/$1" "$store/cache"; mkdir "$store/cache"; }

# back_up CASE TOOL STREAM
back_up() {
    local case=$1 tool=$2 stream=$3 repo
    repo=$(place_of "$tool")
    case $tool in
        zstd*) timed "$case" "$tool" "$stream" "$repo" zstd -1 -T2 -q ;;
        *'read-back off') timed "$case" "$tool" "$stream" "$work/json" \
            "$haulout" --json --quiet -r "$repo" backup --source bench --no-read-back ;;
        haulout | before) timed "$case" "$tool" "$stream" "$work/json" \
            "${!tool}" --json --quiet -r "$repo" backup --source bench ;;
        restic) timed "$case" "$tool" "$stream" /dev/null \
            restic -q -r "$repo" backup --stdin --stdin-filename night.mbs ;;
        # With --force, so that the stream is read although its name is known.
        rustic) timed "$case" "$tool" "$stream" /dev/null \
            rustic -r "$repo" backup --force --stdin-filename night.mbs - ;;
        borg) timed "$case" "$tool" "$stream" /dev/null \
            borg create --compression zstd,1 "$repo::{now:%s%f}" - ;;
        bupstash) timed "$case" "$tool" "$stream" /dev/null bupstash put -r "$repo" -q name=night.mbs - ;;
    esac
}

# to_file CASE TOOL FILE: brings the newest stream back.
to_file() {
    local case=$1 tool=$2 file=$3 repo name
    repo=$(place_of "$tool")
    case $tool in
        zstd*) timed "$case" "$tool" "$repo" "$file" zstd -dcq ;;
        haulout | before) timed "$case" "$tool" /dev/null "$file" \
            "${!tool}" --quiet -r "$repo" restore latest --stdout ;;
        restic) timed "$case" "$tool" /dev/null "$file" restic -q -r "$repo" dump latest /night.mbs ;;
        rustic) timed "$case" "$tool" /dev/null "$file" rustic -r "$repo" dump latest:night.mbs ;;
        borg)
            name=$(borg list --short --last 1 "$repo" 2>/dev/null)
            timed "$case" "$tool" /dev/null "$file" borg extract --stdout "$repo::$name" ;;
        bupstash) timed "$case" "$tool" /dev/null "$file" bupstash get -r "$repo" -q name=night.mbs ;;
    esac
}

off='haulout, read-back off'
on=haulout
zstd='zstd -1 -T2'
# The versions of haulout that take turns.
versions=("$on")
[[ -z $before ]] || versions+=(before)
say_round() { say "$1, round $2, load $(cut -d' ' -f1 /proc/loadavg)"; }

# --- rows: first and next -----------------------------------------------------

first_and_next() {
    local round tool tools
    on_ground sysbench 2
    for ((round = 1; round <= rounds; round++)); do
        say_round 'first and next' "$round"
        tools=("$zstd" "$off" "${versions[@]}")
        ((round > peer_rounds)) || tools+=("${found[@]}")
        for tool in "${tools[@]}"; do
            [[ $tool == "$zstd" ]] || create "${tool%%,*}"
            back_up first "$tool" "$ground/night-1.mbs"
            if wants next && [[ $tool != "$zstd" && $tool != "$off" ]]; then
                back_up next "$tool" "$ground/night-2.mbs"
            fi
            destroy "${tool%%[ ,]*}"
        done
    done
}

# --- row: restore -------------------------------------------------------------

# restore CASE VERSION: the newest stream into files, which stay in $store/directory.
restore() { timed "$1" "$2" /dev/null /dev/null "${!2}" --quiet -r "$store/$2" restore latest --to "$store/directory"; }

restores() {
    local round tool
    on_ground sysbench 1
    # Not timed as a first backup: it is outside of the rounds.
    for tool in "$zstd" "${versions[@]}" "${found[@]}"; do
        [[ $tool =~ ^(zstd|haulout|before|rustic|restic) ]] || continue
        [[ $tool == "$zstd" ]] || create "$tool"
        back_up 'before restore' "$tool" "$ground/night-1.mbs"
    done
    for ((round = 1; round <= rounds; round++)); do
        say_round restore "$round"
        for tool in "$zstd" "${versions[@]}" "${found[@]}"; do
            [[ $tool =~ ^(zstd|haulout|before|rustic|restic) ]] || continue
            [[ $tool != r* ]] || ((round <= peer_rounds)) || continue
            to_file restore "$tool" "$store/restored"
            ((round > 1)) || cmp "$store/restored" "$ground/night-1.mbs" || die "$tool gives back another stream"
            rm "$store/restored"
        done
        for tool in "${versions[@]}"; do
            restore 'restore --to' "$tool"
            if ((round == 1)); then
                mkdir "$store/extracted"
                mbstream -x -C "$store/extracted" <"$ground/night-1.mbs"
                diff -r "$store/extracted" "$store/directory" || die "restore --to gives other files than mbstream"
                rm -rf "$store/extracted"
            fi
            rm -rf "$store/directory"
        done
        timed 'verify --depth pages' "$on" /dev/null /dev/null "$haulout" --quiet -r "$store/haulout" verify --depth pages
    done
    for tool in "$zstd" "${versions[@]}" "${found[@]}"; do destroy "${tool%%[ ,]*}"; done
}

# --- row: thirty nights -------------------------------------------------------

thirty() {
    local last=30 night round tool
    rm -rf "$ground"
    for tool in "${versions[@]}"; do create "$tool"; done
    for ((night = 1; night <= last; night++)); do
        unpack thirty "$night"
        rm -f "$ground/night-$((night - 1)).mbs"
        for tool in "${versions[@]}"; do back_up "thirty $night" "$tool" "$ground/night-$night.mbs"; done
        ((night == 1 || night == last)) || continue
        for ((round = 1; round <= rounds; round++)); do
            say_round "restore of night $night" "$round"
            for tool in "${versions[@]}"; do
                restore "restore of night $night" "$tool"
                rm -rf "$store/directory"
            done
        done
    done
    "$haulout" --quiet -r "$store/haulout" restore latest --stdout | cmp - "$ground/night-$last.mbs" ||
        die "night $last comes back different"
    for tool in "${versions[@]}"; do destroy "$tool"; done
}

# --- row: other loads ---------------------------------------------------------

all_loads() {
    local load round tool
    for load in "${loads[@]}"; do
        on_ground "$load" 2
        for ((round = 1; round <= rounds; round++)); do
            say_round "$load" "$round"
            for tool in "${versions[@]}"; do
                create "$tool"
                back_up "$load first" "$tool" "$ground/night-1.mbs"
                back_up "$load next" "$tool" "$ground/night-2.mbs"
                destroy "$tool"
            done
        done
        "$here/floor.py" "$ground/night-1.mbs" "$ground/night-2.mbs" 2>/dev/null >"$work/$load.floor" ||
            echo nan >"$work/$load.floor"
    done
}

# --- row: seconds per thread --------------------------------------------------

# Of a next night: threads.py lists the busiest thread first, in CPU seconds per GB of stream.
threads() {
    on_ground sysbench 2
    "$here/threads.py" --rounds "$rounds" --store "$store" "$ground/night-1.mbs" "$ground/night-2.mbs" "$haulout" \
        >"$work/threads" || die "threads.py failed"
    cat "$work/threads"
    awk '/, next: / { wanted = 1 } wanted && $NF == "s/GB" && $1 != "main" { print $2; exit }' \
        "$work/threads" >"$work/busiest"
}

# --- what came of it ----------------------------------------------------------

print_runs() {
    printf '\n%-22s %-24s %21s %8s %9s %11s\n' case program 'wall s (min-max)' 'CPU s' 'peak MiB' 'stored MB'
    awk -F'\t' '!/^(before|thirty) / && !seen[$1 FS $2]++ { print $1 FS $2 }' "$runs" | while IFS=$'\t' read -r case tool; do
        stored=$(awk -v b="$(figure "$case" "$tool" $bytes)" 'BEGIN { if (b) printf "%.2f", b / 1e6; else print "-" }')
        printf '%-22s %-24s %7.2f (%5.2f-%5.2f) %8.2f %9.0f %11s\n' "$case" "$tool" \
            "$(figure "$case" "$tool" $wall)" "$(figure "$case" "$tool" $wall min)" "$(figure "$case" "$tool" $wall max)" \
            "$(figure "$case" "$tool" 4)" "$(figure "$case" "$tool" 5 max)" "$stored"
    done
}

# bar NAME FORMULA at-least|at-most BAR AIM: one line; FORMULA is awk's, and has a nan if something was not measured.
bar() {
    if [[ $2 == *nan* ]]; then
        printf '%-62s %12s\n' "$1" 'not measured'
        return
    fi
    awk -v name="$1" -v way="$3" -v bar="$4" -v aim="$5" "
        BEGIN {
            value = $2
            good = way == \"at-most\" ? value <= bar : value >= bar
            better = way == \"at-most\" ? value <= aim : value >= aim
            printf \"%-62s %12.4g  %-8s %8.4g  aim %8.4g  %s\\n\", name, value, way, bar, aim,
                better ? \"aim met\" : good ? \"bar met\" : \"MISSED\"
        }"
}

# ratio A B: the formula.
ratio() { if [[ $2 == 0 ]]; then echo nan; else echo "$1 / $2"; fi; }

# than_before CASE COLUMN: the formula of this version by the one before.
than_before() { ratio "$(figure "$1" "$on" "$2")" "$(figure "$1" before "$2")"; }

print_bars() {
    local peer load case
    printf '\n%-62s %12s  %s\n' "medians of $rounds" value 'bar'
    if wants next; then
        bar 'night of sysbench: stored, MB' "$(figure next "$on" $bytes) / 1e6" at-most 6.5 5
        bar 'night of sysbench: stored, % of the stream' \
            "100 * $(ratio "$(figure next "$on" $bytes)" "$stream_bytes")" at-most 0.24 0.19
        bar 'night of sysbench: wall / before' "$(than_before next $wall)" at-most 1.1 0.9
        for peer in restic rustic; do
            bar "night of sysbench: $peer / haulout, stored" \
                "$(ratio "$(figure next "$peer" $bytes)" "$(figure next "$on" $bytes)")" at-least 115 150
        done
    fi
    if wants loads; then
        bar 'night of random keys: stored / before' "$(than_before 'uuid next' $bytes)" at-most 0.75 0.7
        bar 'night of a queue: stored / before' "$(than_before 'queue next' $bytes)" at-most 0.92 0.88
    fi
    if wants first; then
        bar 'first full: stored / the file of zstd -1' \
            "$(ratio "$(figure first "$on" $bytes)" "$(figure first "$zstd" $bytes)")" at-most 1.02 0.98
        bar 'first full, read-back off: CPU / zstd -1 -T2' \
            "$(ratio "$(figure first "$off" $cpu)" "$(figure first "$zstd" $cpu)")" at-most 0.79 0.72
        bar 'first full: wall / before' "$(than_before first $wall)" at-most 1.03 1
    fi
    if wants threads; then
        bar 'next night: busiest thread, CPU s per GB' "$(cat "$work/busiest")" at-most 0.22 0.15
    fi
    if wants restore; then
        bar 'restore --to DIR: wall / zstd -dc > file' \
            "$(ratio "$(figure 'restore --to' "$on" $wall)" "$(figure restore "$zstd" $wall)")" at-most 0.85 0.7
        bar 'restore --to DIR: wall / before' "$(than_before 'restore --to' $wall)" at-most 1.03 1
    fi
    if wants thirty; then
        bar 'restore after 30 nights / of the first, wall' \
            "$(ratio "$(figure 'restore of night 30' "$on" $wall)" "$(figure 'restore of night 1' "$on" $wall)")" \
            at-most 1.35 1.2
        bar 'nights 2-30: all stored / before' "$(ratio "$(nights_sum "$on")" "$(nights_sum before)")" at-most 1.03 1
        bar 'nights 2-30: largest / median, stored' "$(nights_spread $bytes)" at-most 3 3
    fi
    if wants loads; then
        for load in "${loads[@]}"; do
            for case in first next; do
                bar "$load: $case: stored / before" "$(than_before "$load $case" $bytes)" at-most 1.03 1
                bar "$load: $case: wall / before" "$(than_before "$load $case" $wall)" at-most 1.03 1
            done
            bar "$load: stored / (pages at zstd 1 + deltas, floor.py)" \
                "$(ratio "$(figure "$load next" "$on" $bytes)" "$(cat "$work/$load.floor")")" at-most 1.1 1
        done
    fi
    bar 'peak memory of every run of haulout, MiB' \
        "$(awk -F'\t' '$2 ~ /^haulout/ && $5 > most { most = $5 } END { print most + 0 }' "$runs")" at-most 160 128
}

# nights_sum VERSION: the bytes of the nights after the first.
nights_sum() {
    awk -F'\t' -v t="$1" '/^thirty / && $1 != "thirty 1" && $2 == t { sum += $6 } END { print sum ? sum : "nan" }' "$runs"
}

# nights_spread COLUMN: the formula of the largest by the median of the nights after the first.
nights_spread() {
    awk -F'\t' -v k="$1" '/^thirty / && $1 != "thirty 1" && $2 == "haulout" { print $k }' "$runs" | sort -g |
        awk '{ a[NR] = $1 } END { if (NR) print a[NR] " / " a[int((NR + 1) / 2)]; else print "nan" }'
}

# --- all of it ----------------------------------------------------------------

cat <<TEXT
$("$haulout" --version); before: ${before:-none}; $(zstd --version | grep -o 'v[0-9.]*' | sed 's/^/zstd /'); peers: ${found[*]:-none}
$(nproc) processors ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)), load before $(cut -d' ' -f1-3 /proc/loadavg)
repositories on $kind_of_store$([[ $kind_of_store != tmpfs ]] || echo ' (no disk, no fsync, is measured)'), streams from there
TEXT
# The table's CPU seconds and bytes hold on any machine; wall times need one that does nothing else.
awk '$1 > 0.7 { print "WARNING: this machine is busy: wall times and their ratios below mean little" }' /proc/loadavg
for tool in "${found[@]}"; do printf '%s: %s\n' "$tool" "$("$tool" --version 2>/dev/null || "$tool" version)"; done

if wants first || wants next; then
    first_and_next
    stream_bytes=$(wc -c <"$ground/night-2.mbs")
fi
if wants restore; then restores; fi
if wants thirty; then thirty; fi
if wants loads; then all_loads; fi
if wants threads; then threads; fi
print_runs
if wants thirty; then
    printf '\nthirty nights, stored MB each: '
    awk -F'\t' '/^thirty / && $2 == "haulout" { printf " %.2f", $6 / 1e6 } END { print "" }' "$runs"
fi
print_bars
