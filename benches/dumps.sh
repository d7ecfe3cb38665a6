#!/usr/bin/env bash
# Makes dumps of a private, throw-away MariaDB server as they follow each other in practice, and measures what each
# adds to a repository that holds the first.
#
#   base.sql       the first
#   changed.sql    a few thousand rows were updated since
#   inserted.sql   1 % of rows were inserted at random places since
#   reordered.sql  the base's rows, the tables in another order
set -euo pipefail

usage() {
    cat <<'END'
usage: dumps.sh DIR [--size MB] [--peers]
  --size MB   size of a dump, roughly (default 2000)
  --peers     measure restic and borg too, if they are installed
Leaves the dumps in DIR. Environment: HAULOUT=PROGRAM measures that program instead of building one.
END
}

# shellcheck source=tests/mariadb/lib.sh
. "$(dirname "$0")/../tests/mariadb/lib.sh"

dir='' size=2000 peers=no
while (($#)); do
    case $1 in
        --size) (($# >= 2)) || { usage >&2; exit 2; }; size=$2; shift ;;
        --peers) peers=yes ;;
        -h | --help) usage; exit 0 ;;
        -*) usage >&2; exit 2 ;;
        *) dir=$1 ;;
    esac
    shift
done
[[ -n $dir && $size =~ ^[1-9][0-9]*$ ]] || { usage >&2; exit 2; }
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
TMPDIR=$dir make_work
need_packages
need_haulout

# A row takes 230 bytes in a dump.
tables=4 rows=$((size * 1000000 / 230 / 4))
dump() { mariadb-dump --no-defaults --user=root --socket="$work/server.sock" --skip-dump-date --single-transaction bench "$@"; }

if [[ ! -e $dir/reordered.sql ]]; then
    start_server server --innodb-buffer-pool-size=512M
    say "making $tables tables of $rows rows"
    sql server -e 'CREATE DATABASE bench; SET GLOBAL innodb_flush_log_at_trx_commit = 0'
    for ((t = 1; t <= tables; t++)); do
        sql server bench <<SQL
CREATE TABLE t$t (id BIGINT PRIMARY KEY, hash CHAR(40) NOT NULL, state INT NOT NULL, at DATETIME NOT NULL, text VARCHAR(200) NOT NULL);
INSERT INTO t$t SELECT seq * 100, SHA1(seq * 7 + $t), seq % 17, '2026-01-01' + INTERVAL seq SECOND,
    CONCAT_WS(' ', 'instance', MD5(seq + $t), 'on host', seq % 200, 'uuid', MD5(seq * 3 + $t), IF(seq % 3, 'active', 'it''s stopped;'))
    FROM seq_1_to_$rows;
SQL
    done
    names=(t1 t2 t3 t4)
    say "base" && dump "${names[@]}" >"$dir/base.sql"
    say "reordered" && dump t3 t1 t4 t2 >"$dir/reordered.sql"
    for t in "${names[@]}"; do
        sql server bench -e "UPDATE $t JOIN (SELECT 100 * (1 + FLOOR(RAND($size) * $rows)) AS id FROM seq_1_to_1000) x USING (id)
            SET state = state + 1, text = CONCAT('changed ', text)"
    done
    say "changed" && dump "${names[@]}" >"$dir/changed.sql"
    for t in "${names[@]}"; do
        sql server bench -e "INSERT IGNORE INTO $t SELECT 100 * FLOOR(RAND($size) * $rows) + 50, SHA1(seq), 1, '2026-02-01', MD5(seq)
            FROM seq_1_to_$((rows / 100))"
    done
    say "inserted" && dump "${names[@]}" >"$dir/inserted.sql"
    stop_server server
fi

# measure PROGRAM: what each dump adds to a repository that holds base.sql, and how fast.
bytes() { du -sb "$1" | cut -f1; }
measure() {
    local kind before began
    for kind in changed inserted reordered; do
        rm -rf "$work/repo" && "$1_init" && "$1_store" "$dir/base.sql"
        before=$(bytes "$work/repo") began=${EPOCHREALTIME/./}
        "$1_store" "$dir/$kind.sql"
        printf '%-8s %-10s %8.2f MB stored, %6.0f MB/s\n' "$1" "$kind" \
            "$((($(bytes "$work/repo") - before) / 1000))e-3" "$(($(stat -c %s "$dir/$kind.sql") * 1000 / (${EPOCHREALTIME/./} - began)))e-3"
    done
}

export HAULOUT_REPO=$work/repo HAULOUT_PASSWORD=bench RESTIC_PASSWORD=bench BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
# The functions below are called by the names that measure puts together.
# shellcheck disable=SC2329
haulout_init() { "$haulout" init --quiet; }
# shellcheck disable=SC2329
haulout_store() { "$haulout" backup --quiet --source dump -- cat "$1"; }
# shellcheck disable=SC2329
restic_init() { restic --quiet init --repo "$work/repo"; }
# shellcheck disable=SC2329
restic_store() { restic --quiet --repo "$work/repo" backup --stdin --stdin-filename dump.sql <"$1"; }
# shellcheck disable=SC2329
borg_init() { borg init --encryption none "$work/repo"; }
# shellcheck disable=SC2329
borg_store() { borg create --compression zstd "$work/repo::$(date +%s%N)" - <"$1"; }

measure haulout
if [[ $peers == yes ]]; then
    for peer in restic borg; do
        if command -v "$peer" >/dev/null; then measure "$peer"; fi
    done
fi
