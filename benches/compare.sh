#!/usr/bin/env bash
# The end-to-end comparison: haulout and its peers on streams of a real server, every figure against its bar.
#
# Streams are read from the page cache, repositories lie in memory unless --store says otherwise: what is measured is
# the work, not a disk. Programs take turns within a round; the figures are medians of the rounds.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: compare.sh [options]
  --rows LIST     of first,next,restore,thirty,loads (default: all)
  --rounds N      rounds of each measurement (default 5)
  --nights DIR    where the streams are, or are to be made and left: DIR/big, DIR/thirty, DIR/hot, DIR/insert,
                  DIR/alter, DIR/encrypted, each as nights.sh makes it (default: a temporary directory)
  --store DIR     where repositories are made (default: /dev/shm if it has room, else TMPDIR)
  --peers LIST    of restic,rustic,borg,bupstash (default: those that are installed); zstd is always there
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

rows=first,next,restore,thirty,loads rounds=5 nights='' store='' peers='' out=''
while (($#)); do
    case $1 in
        --rows | --rounds | --nights | --store | --peers | --out)
            (($# >= 2)) || die "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
    shift
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "not a positive number: $rounds"
for row in ${rows//,/ }; do
    [[ $row =~ ^(first|next|restore|thirty|loads)$ ]] || die "unknown row: $row"
done
wants() { [[ ,$rows, == *,$1,* ]]; }

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

# streams NAME OPTIONS: makes the streams of a case unless they are there.
streams() {
    local name=$1
    shift
    [[ -s $nights/$name/night-2.mbs ]] && return
    say "making the streams of $name"
    "$here/nights.sh" "$nights/$name" "$@" >&2
}

big=$nights/big
if wants first || wants next || wants restore || wants loads; then streams big --size 2800; fi

# A file of zstd, one of a peer, haulout's repository and what is restored: at most this many bytes at a time.
need=$((9 << 30))
[[ ! -e $big/night-1.mbs ]] || need=$(($(wc -c <"$big/night-1.mbs") * 3))
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
warm() { cat "$@" >/dev/null; }

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
wall=3 bytes=6

# --- the programs -------------------------------------------------------------

create() {
    rm -rf "${store:?}/$1"
    case $1 in
        haulout) "$haulout" --quiet --repo "$store/haulout" init ;;
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
        haulout*) timed "$case" "$tool" "$stream" "$work/json" "$haulout" --json --quiet -r "$repo" backup --source bench ;;
        restic) timed "$case" "$tool" "$stream" /dev/null restic -q -r "$repo" backup --stdin --stdin-filename night.mbs ;;
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
        haulout*) timed "$case" "$tool" /dev/null "$file" "$haulout" --quiet -r "$repo" restore latest --stdout ;;
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

# --- rows: first and next -----------------------------------------------------

first_and_next() {
    local round tool
    for ((round = 1; round <= rounds; round++)); do
        say "first and next, round $round, load $(cut -d' ' -f1 /proc/loadavg)"
        warm "$big/night-1.mbs" "$big/night-2.mbs"
        for tool in "$zstd" "$off" "$on" "${found[@]}"; do
            if [[ $tool == "$zstd" ]]; then
                back_up first "$tool" "$big/night-1.mbs"
            else
                create "${tool%%,*}"
                back_up first "$tool" "$big/night-1.mbs"
                if wants next; then back_up next "$tool" "$big/night-2.mbs"; fi
            fi
            destroy "${tool%%[ ,]*}"
        done
    done
}

# --- row: restore -------------------------------------------------------------

restores() {
    local round tool tools=("$zstd" "$on")
    warm "$big/night-1.mbs"
    # Not timed as a first backup: it is outside of the rounds.
    back_up 'before restore' "$zstd" "$big/night-1.mbs"
    for tool in haulout "${found[@]}"; do
        [[ $tool =~ ^(haulout|rustic|restic)$ ]] || continue
        create "$tool"
        back_up 'before restore' "$tool" "$big/night-1.mbs"
        [[ $tool == haulout ]] || tools+=("$tool")
    done
    for ((round = 1; round <= rounds; round++)); do
        say "restore, round $round, load $(cut -d' ' -f1 /proc/loadavg)"
        for tool in "${tools[@]}"; do
            to_file restore "$tool" "$store/restored"
            ((round > 1)) || cmp "$store/restored" "$big/night-1.mbs" || die "$tool gives back another stream"
            rm "$store/restored"
        done
        timed 'restore --to' "$on" /dev/null /dev/null \
            "$haulout" --quiet -r "$store/haulout" restore latest --to "$store/directory"
        if ((round == 1)); then
            mkdir "$work/extracted"
            mbstream -x -C "$work/extracted" <"$big/night-1.mbs"
            diff -r "$work/extracted" "$store/directory" || die "restore --to gives other files than mbstream"
            rm -rf "$work/extracted"
        fi
        rm -rf "$store/directory"
        timed 'verify --depth pages' "$on" /dev/null /dev/null "$haulout" --quiet -r "$store/haulout" verify --depth pages
    done
    for tool in "${tools[@]}"; do destroy "${tool%%[ ,]*}"; done
}

# --- row: thirty nights -------------------------------------------------------

thirty() {
    local dir=$nights/thirty last=30 night round
    streams thirty --size 650 --nights 30
    create haulout
    for ((night = 1; night <= last; night++)); do
        warm "$dir/night-$night.mbs"
        if ((night == 10 || night == last)); then
            # Medians need the same night more than once, so it is backed up into copies of the repository.
            mv "$store/haulout" "$store/kept"
            for ((round = 1; round <= rounds; round++)); do
                cp -a "$store/kept" "$store/haulout"
                back_up "night $night" haulout "$dir/night-$night.mbs"
                rm -rf "$store/haulout"
            done
            mv "$store/kept" "$store/haulout"
        fi
        back_up "thirty $night" haulout "$dir/night-$night.mbs"
        if ((night == 1 || night == last)); then
            for ((round = 1; round <= rounds; round++)); do
                timed "restore of night $night" haulout /dev/null /dev/null \
                    "$haulout" --quiet -r "$store/haulout" restore latest --to "$store/directory"
                rm -rf "$store/directory"
            done
        fi
    done
    "$haulout" --quiet -r "$store/haulout" restore latest --stdout | cmp - "$dir/night-$last.mbs" ||
        die "night $last comes back different"
    destroy haulout
    has rustic || return 0
    # What rustic does on a night depends on the night before only, and thirty of them would fill the store.
    for night in 10 "$last"; do
        for ((round = 1; round <= rounds; round++)); do
            say "rustic on night $night, round $round"
            warm "$dir/night-$((night - 1)).mbs" "$dir/night-$night.mbs"
            create rustic
            back_up "before night $night" rustic "$dir/night-$((night - 1)).mbs"
            back_up "night $night" rustic "$dir/night-$night.mbs"
            destroy rustic
        done
    done
}

# --- row: other loads ---------------------------------------------------------

loads() {
    local load round
    for load in hot insert alter encrypted; do
        streams "$load" --size 1200 --load "$load"
        for ((round = 1; round <= rounds; round++)); do
            say "$load, round $round"
            warm "$nights/$load/night-1.mbs" "$nights/$load/night-2.mbs"
            create haulout
            back_up "$load first" haulout "$nights/$load/night-1.mbs"
            back_up "$load next" haulout "$nights/$load/night-2.mbs"
            cp "$work/json" "$work/$load.json"
            destroy haulout
        done
        "$here/floor.py" "$nights/$load/night-1.mbs" "$nights/$load/night-2.mbs" 2>/dev/null >"$work/$load.floor" ||
            echo nan >"$work/$load.floor"
    done
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
stream_bytes() { wc -c <"$1"; }

print_bars() {
    local peer load case
    printf '\n%-62s %12s  %s\n' "medians of $rounds, ratios" value 'bar'
    if wants first; then
        bar 'first full, read-back off: wall / zstd -1 -T2' \
            "$(ratio "$(figure first "$off" $wall)" "$(figure first "$zstd" $wall)")" at-most 0.75 0.6
        bar 'first full, read-back on: wall / zstd -1 -T2' \
            "$(ratio "$(figure first "$on" $wall)" "$(figure first "$zstd" $wall)")" at-most 0.95 0.75
        bar 'first full: stored / the file of zstd -1' \
            "$(ratio "$(figure first "$on" $bytes)" "$(figure first "$zstd" $bytes)")" at-most 1.05 1
    fi
    if wants next; then
        bar 'next night: rustic --force / haulout, wall' \
            "$(ratio "$(figure next rustic $wall)" "$(figure next "$on" $wall)")" at-least 6 10
        bar 'next night: GB/s' \
            "$(ratio "$(stream_bytes "$big/night-2.mbs")" "$(figure next "$on" $wall)") / 1e9" at-least 1.5 2.5
        for peer in rustic restic; do
            bar "next night: $peer / haulout, stored" \
                "$(ratio "$(figure next "$peer" $bytes)" "$(figure next "$on" $bytes)")" at-least 60 150
        done
        bar 'next night: stored, % of the stream' \
            "100 * $(ratio "$(figure next "$on" $bytes)" "$(stream_bytes "$big/night-2.mbs")")" at-most 0.4 0.4
    fi
    if wants restore; then
        bar 'restore --to DIR: wall / zstd -dc > file' \
            "$(ratio "$(figure 'restore --to' "$on" $wall)" "$(figure restore "$zstd" $wall)")" at-most 1 0.75
        bar 'restore --to DIR: rustic dump > file / haulout, wall' \
            "$(ratio "$(figure restore rustic $wall)" "$(figure 'restore --to' "$on" $wall)")" at-least 2 3
    fi
    if wants thirty; then
        for case in 'night 10' 'night 30'; do
            bar "$case: rustic --force / haulout, wall" \
                "$(ratio "$(figure "$case" rustic $wall)" "$(figure "$case" haulout $wall)")" at-least 6 10
            bar "$case: GB/s" \
                "$(ratio "$(stream_bytes "$nights/thirty/night-${case#* }.mbs")" "$(figure "$case" haulout $wall)") / 1e9" \
                at-least 1.5 2.5
            bar "$case: rustic / haulout, stored" \
                "$(ratio "$(figure "$case" rustic $bytes)" "$(figure "$case" haulout $bytes)")" at-least 60 150
            bar "$case: stored, % of the stream" \
                "100 * $(ratio "$(figure "$case" haulout $bytes)" "$(stream_bytes "$nights/thirty/night-${case#* }.mbs")")" \
                at-most 0.4 0.4
        done
        bar 'nights 2-30: largest / median, stored' "$(nights_spread $bytes)" at-most 3 3
        bar 'nights 2-30: longest / median, wall' "$(nights_spread $wall)" at-most 3 3
        bar 'restore after 30 nights / of the first, wall' \
            "$(ratio "$(figure 'restore of night 30' haulout $wall)" "$(figure 'restore of night 1' haulout $wall)")" \
            at-most 1.5 1.2
    fi
    if wants loads; then
        for load in hot insert alter encrypted; do
            bar "$load: stored / (pages at zstd 1 + deltas, floor.py)" \
                "$(ratio "$(figure "$load next" haulout $bytes)" "$(cat "$work/$load.floor")")" at-most 1.1 1
            bar "$load: GB/s / that of its first full" \
                "$(ratio "$(figure "$load first" haulout $wall)" "$(figure "$load next" haulout $wall)")" at-least 0.8 1
        done
    fi
    bar 'peak memory of every run of haulout, MiB' \
        "$(awk -F'\t' '$2 ~ /^haulout/ && $5 > most { most = $5 } END { print most + 0 }' "$runs")" at-most 256 160
}

# nights_spread COLUMN: the formula of the largest by the median of the nights after the first.
nights_spread() {
    awk -F'\t' -v k="$1" '/^thirty / && $1 != "thirty 1" { print $k }' "$runs" | sort -g |
        awk '{ a[NR] = $1 } END { if (NR) print a[NR] " / " a[int((NR + 1) / 2)]; else print "nan" }'
}

# --- all of it ----------------------------------------------------------------

cat <<TEXT
$("$haulout" --version); $(zstd --version | grep -o 'v[0-9.]*' | sed 's/^/zstd /'); peers: ${found[*]:-none}
$(nproc) processors ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)), load before $(cut -d' ' -f1-3 /proc/loadavg)
repositories on $kind_of_store$([[ $kind_of_store != tmpfs ]] || echo ' (no disk, no fsync, is measured)'), streams from the page cache
TEXT
# The table's CPU seconds and bytes hold on any machine; wall times need one that does nothing else.
awk '$1 > 0.7 { print "WARNING: this machine is busy: wall times and their ratios below mean little" }' /proc/loadavg
for tool in "${found[@]}"; do printf '%s: %s\n' "$tool" "$("$tool" --version 2>/dev/null || "$tool" version)"; done

if wants first || wants next; then first_and_next; fi
if wants restore; then restores; fi
if wants thirty; then thirty; fi
if wants loads; then loads; fi
print_runs
if wants thirty; then
    printf '\nthirty nights, stored MB each: '
    awk -F'\t' '/^thirty / { printf " %.2f", $6 / 1e6 } END { print "" }' "$runs"
fi
print_bars
