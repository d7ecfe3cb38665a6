#!/usr/bin/env bash
# The way back of a whole server by one command, and by hand with restic and with a plain file of the stream: seconds,
# commands, and what each of them has looked at before the server starts.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: getting-back.sh [--size MB] [--rounds N]
Backs up a throw-away server of about MB (default 1500) in three ways, and brings it back by each of them N times
(default 3), in turns: the data directory in place, owned by its user, the server started and its tables compared.
Medians. As root, since files change their owner.
Environment: HAULOUT=PROGRAM measures that program instead of building one; TMPDIR.
TEXT
}

# shellcheck source=tests/mariadb/lib.sh
. "$(dirname "$0")/../tests/mariadb/lib.sh"

size=1500 rounds=3
while (($#)); do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --size) size=$2; shift ;;
        --rounds) rounds=$2; shift ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
((EUID == 0)) || die "run it as root: files change their owner"

make_work
need_programs restic restic zstd zstd
need_haulout
chmod 755 "$work"
export HAULOUT_PASSWORD=x RESTIC_PASSWORD=x RESTIC_REPOSITORY=$work/restic
user=(--user=mysql)
servers_tmp=$work/tmp
install -d -o mysql -m 700 "$servers_tmp"
haulout_on() { "$haulout" --quiet --repo "$work/repo" "$@"; }

data=$work/db
install -d -o mysql -m 700 "$data"
TMPDIR=$servers_tmp mariadb-install-db --no-defaults --user=mysql --datadir="$data" --skip-test-db \
    --auth-root-authentication-method=normal >"$work/install.log" 2>&1 || die "mariadb-install-db failed"
cat >"$work/my.cnf" <<CNF
[mariadbd]
datadir = $data
socket = $work/db.sock
user = mysql
skip-networking
CNF
chmod 644 "$work/my.cnf"
chown mysql "$work"
start_server db
make_shop db "$size"
settle db
start_load db
haulout_on init
mariabackup_of db
haulout_on backup --source db -- "${producer[@]}" 2>"$work/producer.log"
restic --quiet init >"$work/restic.log"
"${producer[@]}" 2>"$work/producer.log" | restic --quiet backup --stdin --stdin-filename db.mbs
"${producer[@]}" 2>"$work/producer.log" | zstd -1 -q -o "$work/db.mbs.zst"
stop_load db
stop_server db
say "backed up in three ways: $(du -sh "$data" | cut -f 1) of data"

# put_in_place NEW: by hand, after --prepare; the old data are kept.
put_in_place() {
    mv "$data" "$data.old"
    mv "$1" "$data"
    chown -R mysql:mysql "$data"
}

by_haulout() { haulout_on restore db@latest --datadir "$data" --server-defaults-file "$work/my.cnf" --yes; }
by_restic() {
    mkdir "$work/new"
    restic --quiet dump latest db.mbs | mbstream -x -C "$work/new"
    mariabackup --prepare --use-memory=1G --target-dir="$work/new" 2>"$work/prepare.log"
    put_in_place "$work/new"
}
by_file() {
    mkdir "$work/new"
    zstd -dcq "$work/db.mbs.zst" | mbstream -x -C "$work/new"
    mariabackup --prepare --use-memory=1G --target-dir="$work/new" 2>"$work/prepare.log"
    put_in_place "$work/new"
}

declare -A seconds=()
for ((round = 0; round < rounds; round++)); do
    for way in haulout restic file; do
        sync
        began=${EPOCHREALTIME/./}
        "by_$way" 2>>"$work/restores.log" || die "the restore by $way failed: $(tail -n 5 "$work/restores.log")"
        took=$((${EPOCHREALTIME/./} - began))
        seconds[$way]+="$took "
        start_server db
        check_tables db
        stop_server db
        rm -rf "$data.old" "$data"-save-*
        say "$way: $((took / 1000)) ms"
    done
done

median() { tr ' ' '\n' <<<"${1% }" | sort -n | sed -n "$(((rounds + 1) / 2))p"; }
gigabytes=$(du -sm "$data" | cut -f 1)
printf '\n| way | commands | seconds | seconds a GB | looked at before the start |\n| --- | --- | --- | --- | --- |\n'
row() {
    local microseconds
    microseconds=$(median "${seconds[$1]}")
    awk -v name="$2" -v commands="$3" -v us="$microseconds" -v mb="$gigabytes" -v seen="$4" \
        'BEGIN { printf "| %s | %s | %.1f | %.1f | %s |\n", name, commands, us / 1e6, us / 1e3 / mb, seen }'
}
row haulout "haulout restore --datadir" 1 \
    "every block, every page after the preparation, the end of the redo log, every table opened by a private server"
row restic "restic dump, mbstream, mariabackup --prepare, mv, mv, chown" 6 "blobs of restic; the exit status"
row file "zstd -dc, mbstream, mariabackup --prepare, mv, mv, chown" 6 "the exit status"
