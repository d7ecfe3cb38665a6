# shellcheck shell=bash
# What main-job and faults share: packages, the program, throw-away servers, a shop database and its load.
#
# To be sourced. It makes a directory $work, which goes away at the end, with every process that was started here.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
self=$(basename "$0")

# Debian keeps the server in sbin, which is not on a normal user's PATH; rustup's cargo often is not either.
PATH=$PATH:/usr/sbin:/usr/local/sbin:${CARGO_HOME:-$HOME/.cargo}/bin

# Repositories and passwords of whoever runs this are none of its business.
for variable in "${!HAULOUT_@}"; do
    case $variable in
        HAULOUT_REPO | HAULOUT_PASSWORD*) unset "$variable" ;;
    esac
done

die() { echo "$self: $*" >&2; exit 1; }
say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

# --- what is needed -----------------------------------------------------------

# need_packages [TOOL PACKAGE]...: installs what is missing if it may, and says what to install if it may not. The
# packages of the tools are wanted besides those that every script here needs.
# shellcheck disable=SC2120  # some scripts name more than MariaDB's
need_programs() {
    local missing=() tool package
    while (($#)); do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    while read -r tool package; do
        command -v "$tool" >/dev/null || missing+=("$package")
    done <<'LIST'
mariadbd mariadb-server
mariadb-install-db mariadb-server
mariabackup mariadb-backup
mariadb mariadb-client
jq jq
LIST
    [[ -n ${HAULOUT:-} ]] || command -v cc >/dev/null || missing+=(gcc libc6-dev)
    ((${#missing[@]})) || return 0
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    if ((EUID)) || ! command -v apt-get >/dev/null; then
        die "missing programs; on Debian: sudo apt-get install --no-install-recommends ${missing[*]}"
    fi
    say "installing ${missing[*]}"
    # Debian starts a server as soon as it is installed, unless this file says no.
    local policy=/usr/sbin/policy-rc.d made_policy=no
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        made_policy=yes
    fi
    local log=$work/apt.log status=0
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qy update && apt-get -qy install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || status=$?
    [[ $made_policy == no ]] || rm -f "$policy"
    ((status == 0)) || { tail -n 20 "$log" >&2; die "the packages could not be installed"; }
}

need_packages() {
    # shellcheck disable=SC2119  # MariaDB alone
    need_programs
}

# Sets $haulout to the program under test.
need_haulout() {
    if [[ -n ${HAULOUT:-} ]]; then
        haulout=$(command -v "$HAULOUT") || die "HAULOUT=$HAULOUT is no program"
    else
        command -v cargo >/dev/null || die "cargo is not installed: see https://rustup.rs, or set HAULOUT to a built program"
        say "building haulout"
        local log=$work/build.log target
        (cd "$root" && cargo build --release --locked --bin haulout) >"$log" 2>&1 ||
            { tail -n 40 "$log" >&2; die "haulout could not be built"; }
        target=$(cd "$root" && cargo metadata --format-version 1 --no-deps --locked | jq -r .target_directory)
        haulout=$target/release/haulout
    fi
    say "$("$haulout" --version) with $(mariabackup --version 2>&1 | sed 's/ (.*//')"
}

# --- everything ends here -----------------------------------------------------

declare -A servers=()
pids=()

make_work() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/haulout-$self.XXXXXX")
    # A socket's path may have 107 bytes only, whatever TMPDIR is.
    ((${#work} < 80)) || { rmdir "$work"; work=$(mktemp -d "/tmp/haulout-$self.XXXXXX"); }
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# is_own PID: whether that is a child of this script still; its number may have gone to another process since.
is_own() { [[ $(ps -o ppid= -p "$1" | tr -d ' ') == "$$" ]]; }

clean_up() {
    local status=$? pid
    trap - EXIT INT TERM
    # Nobody needs these servers' data, so nothing is lost by killing them.
    for pid in "${pids[@]}" "${servers[@]}"; do
        if is_own "$pid"; then kill -9 "$pid" || true; fi
    done 2>/dev/null
    wait 2>/dev/null || true
    if declare -F clean_up_more >/dev/null; then clean_up_more || true; fi
    if ((status)) && [[ -n ${KEEP:-} ]]; then
        echo "$self: left for inspection: $work" >&2
    else
        rm -rf "$work"
    fi
    ((status == 0)) || echo "$self: FAILED" >&2
    exit "$status"
}

# --- servers ------------------------------------------------------------------
#
# A server that starts removes the temporary tables of all others in its TMPDIR, so each script has its own.
# servers_tmp is another directory for them, if their user can't write to $work.

# mariadbd refuses to run as root unless told so by name.
user=()
((EUID)) || user=(--user=root)

# sql NAME [ARGS]: a client of server NAME.
sql() {
    local name=$1
    shift
    mariadb --no-defaults --user=root --socket="$work/$name.sock" --batch --skip-column-names "$@"
}

# start_server NAME [ARGS]: a server on $work/NAME, which is made if it isn't there.
start_server() {
    local name=$1 data=$work/$1 log=$work/$1.log _
    shift
    if [[ ! -d $data ]]; then
        TMPDIR=${servers_tmp:-$work} mariadb-install-db --no-defaults "${user[@]}" --datadir="$data" --skip-test-db \
            --auth-root-authentication-method=normal >"$log" 2>&1 ||
            { tail -n 20 "$log" >&2; die "mariadb-install-db failed"; }
    fi
    # The compression is named because its default differs between releases. Dirty pages are written at once, since
    # they would reach the stream as redo instead of as pages.
    TMPDIR=${servers_tmp:-$work} mariadbd --no-defaults "${user[@]}" --datadir="$data" --socket="$work/$name.sock" --pid-file="$work/$name.pid" \
        --skip-networking --skip-name-resolve --skip-log-bin --character-set-server=latin1 \
        --innodb-buffer-pool-size=256M --innodb-log-file-size=512M --innodb-flush-log-at-trx-commit=0 \
        --innodb-doublewrite=0 --innodb-flush-method=nosync --innodb-compression-algorithm=zlib \
        --innodb-max-dirty-pages-pct=0 --innodb-max-dirty-pages-pct-lwm=0 "$@" \
        >>"$log" 2>&1 &
    servers[$name]=$!
    for _ in {1..300}; do
        if sql "$name" -e 'DO 0' 2>/dev/null; then return; fi
        kill -0 "${servers[$name]}" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$log" >&2
    die "the server on $data does not answer"
}

stop_server() {
    kill "${servers[$1]}"
    wait "${servers[$1]}" || die "the server on $work/$1 did not shut down: $(tail -n 3 "$work/$1.log")"
    unset "servers[$1]"
}

# mariabackup_of NAME: its command line for server NAME, in the array $producer.
mariabackup_of() {
    # shellcheck disable=SC2034  # used by those who source this
    producer=(mariabackup --no-defaults --backup --stream=mbstream --user=root
        --socket="$work/$1.sock" --datadir="$work/$1")
}

# --- the shop -----------------------------------------------------------------

# make_shop NAME MB: a small shop in every storage engine and in page formats that real servers have.
make_shop() {
    # An order and its two lines take 600 bytes, indexes and free room included.
    local orders=$(($2 * 1700))
    sql "$1" <<SQL
CREATE DATABASE shop;
USE shop;
SET unique_checks = 0, foreign_key_checks = 0, rand_seed1 = 1, rand_seed2 = 2;
CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(60) NOT NULL, mail VARCHAR(80) NOT NULL, KEY (mail));
CREATE TABLE orders (
    id INT AUTO_INCREMENT PRIMARY KEY, customer INT NOT NULL, state INT NOT NULL, address CHAR(120) NOT NULL,
    note VARCHAR(100) NOT NULL, KEY (customer), KEY (state, id),
    FOREIGN KEY (customer) REFERENCES customers (id));
CREATE TABLE order_lines (
    id INT, line INT, product INT NOT NULL, pieces INT NOT NULL, remark VARCHAR(60) NOT NULL, PRIMARY KEY (id, line),
    KEY (product)) PARTITION BY HASH (id) PARTITIONS 4;
CREATE TABLE products (id INT PRIMARY KEY, name CHAR(80) NOT NULL, stock INT NOT NULL)
    ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8;
CREATE TABLE events (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(200) NOT NULL) PAGE_COMPRESSED=1;
CREATE TABLE reviews (id INT PRIMARY KEY, body TEXT NOT NULL, FULLTEXT (body));
CREATE TABLE sessions (id INT PRIMARY KEY, data VARCHAR(200) NOT NULL, KEY (data)) ENGINE=Aria TRANSACTIONAL=1;
CREATE TABLE counters (id INT PRIMARY KEY, hits INT NOT NULL) ENGINE=Aria TRANSACTIONAL=0;
CREATE TABLE carts (id INT PRIMARY KEY, data VARCHAR(200) NOT NULL, KEY (data)) ENGINE=MyISAM;
CREATE TABLE prices (id INT NOT NULL, price INT NOT NULL) ENGINE=CSV;
CREATE TABLE empty (id INT PRIMARY KEY);
INSERT INTO customers SELECT seq, SHA1(seq), CONCAT(MD5(seq), '@example.org') FROM seq_1_to_$((orders / 10));
INSERT INTO orders SELECT seq, 1 + seq * 7919 % $((orders / 10)), seq % 10, CONCAT_WS(' ', SHA1(seq), MD5(seq)), SHA1(RAND())
    FROM seq_1_to_$orders;
INSERT INTO order_lines SELECT (seq + 1) DIV 2, seq % 2, 1 + seq * 31 % 5000, 1 + seq % 9, MD5(seq) FROM seq_1_to_$((orders * 2));
INSERT INTO products SELECT seq, SHA1(seq), 1000 FROM seq_1_to_5000;
INSERT INTO events SELECT seq, CONCAT('visit of page ', seq % 100, ' by ', SHA1(seq)) FROM seq_1_to_$((orders / 10));
INSERT INTO reviews SELECT seq, CONCAT_WS(' ', MD5(seq), MD5(seq + 1), 'good') FROM seq_1_to_500;
INSERT INTO sessions SELECT seq, SHA1(seq) FROM seq_1_to_5000;
INSERT INTO counters SELECT seq, 0 FROM seq_1_to_2000;
INSERT INTO carts SELECT seq, SHA1(seq) FROM seq_1_to_5000;
INSERT INTO prices SELECT seq, seq FROM seq_1_to_500;
DELIMITER //
CREATE PROCEDURE trade (times INT)
BEGIN
    DECLARE an_order, a_product INT;
    WHILE times > 0 DO
        SET an_order = 1 + FLOOR(RAND() * $orders), a_product = 1 + FLOOR(RAND() * 5000), times = times - 1;
        START TRANSACTION;
        UPDATE orders SET state = state + 1, note = SHA1(RAND()) WHERE id = an_order;
        UPDATE order_lines SET pieces = pieces + 1, product = a_product WHERE id = an_order;
        UPDATE products SET stock = stock - 1 WHERE id = a_product;
        INSERT INTO orders (customer, state, address, note) VALUES (1 + an_order % $((orders / 10)), 0, SHA1(RAND()), 'new');
        INSERT INTO order_lines VALUES (LAST_INSERT_ID(), 0, a_product, 1, 'new');
        INSERT INTO events (what) VALUES (CONCAT('order ', an_order));
        UPDATE reviews SET body = CONCAT(body, ' again') WHERE id = 1 + an_order % 500 AND LENGTH(body) < 200;
        IF times % 20 = 0 THEN DELETE FROM orders WHERE id = an_order; END IF;
        COMMIT;
        UPDATE sessions SET data = SHA1(RAND()) WHERE id = a_product;
        UPDATE counters SET hits = hits + 1 WHERE id = 1 + an_order % 2000;
        UPDATE carts SET data = SHA1(RAND()) WHERE id = a_product;
    END WHILE;
END//
DELIMITER ;
SQL
}

# settle NAME: until its pages are written.
settle() {
    local _
    for _ in {1..300}; do
        (($(sql "$1" -e "SELECT variable_value FROM information_schema.global_status
                         WHERE variable_name = 'innodb_buffer_pool_pages_dirty'") > 8)) || return 0
        sleep 0.2
    done
}

# start_load NAME: trade in the background until stop_load.
start_load() {
    (
        # Not a loop without end: a server that went away ends it.
        while sql "$1" shop -e "CALL trade(100)"; do sleep 0.05; done
    ) 2>"$work/load.log" &
    load=$!
    pids+=("$load")
}

stop_load() {
    kill "$load" 2>/dev/null || die "the load had stopped by itself: $(tail -n 3 "$work/load.log")"
    wait "$load" 2>/dev/null || true
    # The client's last statement may still run.
    local _
    for _ in {1..100}; do
        [[ $(sql "$1" -e "SELECT COUNT(*) FROM information_schema.processlist WHERE db = 'shop'") != 0 ]] || return 0
        sleep 0.1
    done
    die "the load does not end"
}

# trades NAME: how many there have been.
trades() { sql "$1" shop -e "SELECT SUM(hits) FROM counters"; }

# wait_for_trades NAME N: until N more have happened.
wait_for_trades() {
    local until _
    until=$(($(trades "$1") + $2))
    for _ in {1..600}; do
        (($(trades "$1") < until)) || return 0
        sleep 0.1
    done
    die "the load stands still: $(tail -n 3 "$work/load.log")"
}

# tables NAME: the shop's, separated by commas.
tables() {
    sql "$1" -e "SELECT GROUP_CONCAT('shop.', table_name ORDER BY table_name SEPARATOR ', ')
                 FROM information_schema.tables WHERE table_schema = 'shop' AND table_type = 'BASE TABLE'"
}

checksums() { sql "$1" -e "CHECKSUM TABLE $(tables "$1") EXTENDED"; }

# check_tables NAME: fails if a table of the shop is not sound. One remark is none: tables without a log count in
# their header who has them open, and now and then mariabackup copies them while the load has one open. Such a table
# is whole: the server checks it, calls it OK and forgets the remark.
check_tables() {
    local answers=$work/check.$1 open
    open="^shop\\.(carts|counters)\tcheck\twarning\t1 client is using or hasn't closed the table properly\$"
    sql "$1" -e "CHECK TABLE $(tables "$1") EXTENDED" >"$answers"
    if grep -Pv "$open" "$answers" | grep -Pv '\tstatus\tOK$' >&2; then die "CHECK TABLE found the above"; fi
}
