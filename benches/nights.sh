#!/usr/bin/env bash
# Makes real nightly mariabackup streams from a private, throw-away MariaDB server.
#
# For every night K it leaves in DIR:
#   night-K.mbs    the stream as mariabackup wrote it (another file with --packed)
#   night-K.log    mariabackup's stderr, to prove that it "completed OK!"
#   night-K.sums   CHECKSUM TABLE of every table, to check a restored server against
# Between two nights the default load changes about 7 % of the 16 KiB pages (see pagediff.py).
set -euo pipefail

usage() {
    cat <<'END'
usage: nights.sh DIR [options]
  --size MB        size of a stream, roughly (default 2800)
  --nights N       how many nights (default 2)
  --load KIND      what happens between two nights (default oltp):
                     oltp       updates at uniform and skewed ids, deletes and inserts
                     hot        the same rows, hence the same pages, every night
                     insert     new rows, at the end and at random keys
                     alter      one table is rebuilt, a little oltp in the others
                     encrypted  oltp on encrypted tables (file_key_management)
                     sysbench   transactions of sysbench: rows deleted, inserted, updated with and without
                                their index on k; and a wide table with a unique UUID that grows
                     uuid       random primary keys: 3 % of the rows inserted, some updated, some deleted
                     queue      a seventh of the rows deleted at one end, as many inserted at the other
                     rebuilt    sysbench, and from the second night on tables are rebuilt: OPTIMIZE of the wide one,
                                FORCE of another, and one gets a column
  --seed N         another seed gives other rows and another load (default 1)
  --parallel N     copy threads of mariabackup (default 1)
  --page-size P    innodb_page_size: 4k, 8k, 16k, 32k or 64k (default 16k)
  --formats        add small tables in every page format the page size allows
  --ddl            run DDL during each backup, so that R, D and rewrite chunks occur
  --binlog         write a binary log, so that xtrabackup_binlog_info has a position
  --packed         compress the streams: night-K.mbs.zst with zstd -1, or, below 2 GB, night-K.mbs.patch,
                   which zstd --long=31 --patch-from=night-(K-1).mbs reads; compare.sh unpacks both
  --keep           leave the data directory in DIR/datadir
END
}

die() { echo "nights.sh: $*" >&2; exit 1; }
say() { printf '%5ds  %s\n' "$SECONDS" "$*"; }

# --- arguments ----------------------------------------------------------------

dir='' size=2800 nights=2 load=oltp seed=1 parallel=1 page_size=16k
formats=no ddl=no binlog=no packed=no keep=no
while (($#)); do
    case $1 in
        --size | --nights | --load | --seed | --parallel | --page-size)
            (($# >= 2)) || die "$1 needs a value"
            name=${1#--}
            printf -v "${name//-/_}" %s "$2"
            shift ;;
        --formats) formats=yes ;;
        --ddl) ddl=yes ;;
        --binlog) binlog=yes ;;
        --packed) packed=yes ;;
        --keep) keep=yes ;;
        -h | --help) usage; exit 0 ;;
        -*) usage >&2; die "unknown option $1" ;;
        *) [[ -z $dir ]] || die "one DIR only"; dir=$1 ;;
    esac
    shift
done
[[ -n $dir ]] || { usage >&2; exit 2; }
for n in "$size" "$nights" "$seed" "$parallel"; do
    [[ $n =~ ^[1-9][0-9]*$ ]] || die "not a positive number: $n"
done
[[ $load =~ ^(oltp|hot|insert|alter|encrypted|sysbench|uuid|queue|rebuilt)$ ]] || die "unknown load: $load"
[[ $page_size =~ ^(4|8|16|32|64)k$ ]] || die "unknown page size: $page_size"

# Debian keeps the server in sbin, which is not on a normal user's PATH.
PATH=$PATH:/usr/sbin:/usr/local/sbin
for tool in mariadbd mariadb mariadb-install-db mariabackup awk; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
done
[[ $packed == no ]] || command -v zstd >/dev/null || die "zstd is not installed"

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
data=$dir/datadir
[[ ! -e $data ]] || die "$data exists already: remove it first"
# A socket's path may have 107 bytes only, so it does not live under DIR.
run=$(mktemp -d)
socket=$run/sock

# --- the server ---------------------------------------------------------------

server_pid='' ddl_pid=''
clean_up() {
    local status=$?
    trap - EXIT INT TERM
    [[ -z $ddl_pid ]] || kill "$ddl_pid" 2>/dev/null || true
    if [[ -n $server_pid ]]; then
        # A data directory that goes away needs no clean shutdown.
        if [[ $keep == yes ]]; then kill "$server_pid"; else kill -9 "$server_pid"; fi 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
    fi
    [[ $keep == yes ]] || rm -rf "$data"
    if ((status)) && [[ -s $run/server.log ]]; then tail -n 20 "$run/server.log" >&2; fi
    rm -rf "$run"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# mariadbd refuses to run as root unless told so by name.
user=()
((EUID)) || user=(--user=root)

# The pool holds everything: the load must not wait for the disk.
pool=$((size + size / 8 + 128))
((pool <= 3072)) || pool=3072
server_args=(
    --no-defaults "${user[@]}" --datadir="$data" --socket="$socket" --pid-file="$run/pid"
    --skip-networking --skip-name-resolve --innodb-page-size="$page_size"
    --innodb-buffer-pool-size="${pool}M" --innodb-log-file-size=1G
    # Nobody needs this server's data after a crash: spend nothing on durability.
    --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --innodb-flush-method=nosync
    --innodb-io-capacity=20000 --innodb-io-capacity-max=40000
    # Quiet nights: no page is written behind the back of the load and the checksums.
    --innodb-max-dirty-pages-pct=0 --innodb-max-dirty-pages-pct-lwm=0
    --innodb-buffer-pool-dump-at-shutdown=0 --innodb-buffer-pool-load-at-startup=0
    # Named, so that another default of the server does not change the streams.
    --innodb-compression-algorithm=zlib --innodb-sort-buffer-size=64M
    --character-set-server=latin1
)
if [[ $binlog == yes ]]; then
    server_args+=(--log-bin=bin --server-id=1 --sync-binlog=0)
else
    server_args+=(--skip-log-bin)
fi
# Small Aria logs rotate during a backup, which makes seek chunks.
[[ $ddl == no ]] || server_args+=(--aria-log-file-size=8M)
if [[ $load == encrypted || $formats == yes ]]; then
    # The stream names this path in backup-my.cnf; a drill needs the file, so it stays.
    keys=$dir/keys
    [[ -s $keys ]] || printf '1;%s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$keys"
    chmod 600 "$keys"
    server_args+=(--plugin-load-add=file_key_management --file-key-management-filename="$keys")
fi

sql() { mariadb --no-defaults --user=root --socket="$socket" --batch --skip-column-names "$@"; }

start_server() {
    mariadb-install-db --no-defaults "${user[@]}" --datadir="$data" --skip-test-db \
        --auth-root-authentication-method=normal --innodb-page-size="$page_size" \
        >"$run/install.log" 2>&1 || { cat "$run/install.log" >&2; die "mariadb-install-db failed"; }
    mariadbd "${server_args[@]}" >"$run/server.log" 2>&1 &
    server_pid=$!
    local _
    for _ in {1..300}; do
        if sql -e 'DO 0' 2>/dev/null; then return; fi
        kill -0 "$server_pid" 2>/dev/null || die "the server stopped"
        sleep 0.2
    done
    die "the server did not answer in a minute"
}

# Dirty pages would reach the stream as redo instead of as pages.
flush() {
    local dirty _
    for _ in {1..600}; do
        dirty=$(sql -e "SELECT variable_value FROM information_schema.global_status
                        WHERE variable_name = 'innodb_buffer_pool_pages_dirty'")
        ((dirty > 8)) || return 0
        sleep 0.2
    done
    say "still $dirty dirty pages after two minutes, going on"
}

# --- the data -----------------------------------------------------------------

# Seen: eight tables grew by 11 MB each, nearly all of it zero pages, on their first night: few tables where
# the stream is small.
tables=$((size / 100))
((tables >= 1)) || tables=1
((tables <= 8)) || tables=8
# MB of all tables: 40 MB are empty or the server's own.
filled=$((size > 60 ? size - 40 : 1 + size / 3))
# Rows per table by the bytes that one takes, index and free room included.
wide_rows=0
case $load in
    sysbench | rebuilt)
        # Four parts in seven for narrow rows, the others for the wide table.
        ((tables <= 4)) || tables=4
        rows=$((filled * 3850 * 4 / 7 / tables))
        wide_rows=$((filled * 1650 * 3 / 7)) ;;
    uuid) rows=$((filled * 2900 / tables)) ;;
    queue) rows=$((filled * 3450 / tables)) ;;
    *) rows=$((filled * 3850 / tables)) ;;
esac
# Ids are multiples of 3: the gaps take inserts at random keys.
max_id=$((rows * 3))

# Groups of eleven digits joined by dashes, as sysbench makes them: zstd -1 halves them, and more.
digits() {
    local n=$1 group="LPAD(FLOOR(RAND() * 1e11), 11, '0')" list=''
    while ((n--)); do list+=", $group"; done
    echo "CONCAT_WS('-'$list)"
}
row_values="FLOOR(1 + RAND() * $max_id), $(digits 10), $(digits 5)"

# create_oltp NAME ROWS [TABLE OPTIONS]
create_oltp() {
    # Without unique checks an insert into an empty table builds its trees sorted, without undo log.
    sql app -e "
        SET unique_checks = 0, foreign_key_checks = 0, rand_seed1 = $seed * 7919, rand_seed2 = CRC32('$1');
        CREATE TABLE $1 (
            id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
            k INT NOT NULL DEFAULT 0,
            c CHAR(120) NOT NULL DEFAULT '',
            pad CHAR(60) NOT NULL DEFAULT '',
            KEY k_1 (k)
        ) ENGINE=InnoDB ${3:-};
        INSERT INTO $1 SELECT seq * 3, $row_values FROM seq_1_to_$2;"
}

# Rows go into the trees that follow as a server's rows do: in their order of arrival, in many transactions,
# so that pages split and are as full as those of a table in use.
rows_at_once=20000

# in_pieces TABLE FIRST LAST SELECT: inserts the rows of SELECT, in which FROM_TO stands for the two ends of a piece.
in_pieces() {
    local table=$1 from=$2 last=$3 to
    echo "SET rand_seed1 = $seed * 7919 + $from, rand_seed2 = CRC32('$table');"
    while ((from <= last)); do
        to=$((from + rows_at_once - 1))
        ((to <= last)) || to=$last
        echo "INSERT INTO $table ${4//FROM_TO/${from}_to_$to};"
        from=$((to + 1))
    done
}

# A UUID that is random, and the same for the same seed, table and row.
uuid_of() {
    local text="MD5(CONCAT_WS('-', $seed, '$1', seq))" at
    for at in 21 17 13 9; do text="INSERT($text, $at, 0, '-')"; done
    echo "$text"
}

wide_values() {
    echo "$(uuid_of wide), CONCAT('name of ', MD5(seq)), CONCAT(SHA1(seq), '@example.com'), $(digits 6),
        CONCAT_WS(' ', MD5(RAND()), 'and more about', SHA1(RAND()), SHA1(RAND()), 'until', MD5(RAND())),
        ROUND(RAND() * 1e6, 2), '2026-01-01' + INTERVAL seq SECOND, 0"
}

create_wide() {
    {
        echo "CREATE TABLE wide (
            id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
            uuid CHAR(36) NOT NULL,
            name VARCHAR(80) NOT NULL,
            mail VARCHAR(80) NOT NULL,
            address VARCHAR(200) NOT NULL,
            notes VARCHAR(400) NOT NULL,
            amount DECIMAL(12,2) NOT NULL,
            changed DATETIME NOT NULL,
            version INT NOT NULL,
            UNIQUE KEY (uuid)
        ) ENGINE=InnoDB;"
        in_pieces wide 1 "$wide_rows" "SELECT seq, $(wide_values) FROM seq_FROM_TO"
    } | sql app
}

uuid_values() { echo "$(uuid_of "$1"), FLOOR(RAND() * 100000), MD5(RAND())"; }

create_uuid() {
    {
        echo "CREATE TABLE $1 (
            id CHAR(36) NOT NULL PRIMARY KEY,
            v INT NOT NULL,
            c CHAR(100) NOT NULL,
            KEY (v)
        ) ENGINE=InnoDB;"
        in_pieces "$1" 1 "$rows" "SELECT $(uuid_values "$1") FROM seq_FROM_TO"
    } | sql app
}

queue_values="seq, FLOOR(RAND() * 1e9), '2026-01-01' + INTERVAL seq SECOND,
    CONCAT('{\"job\": ', seq, ', \"data\": \"', $(digits 12), '\"}')"

create_queue() {
    {
        echo "CREATE TABLE $1 (
            id BIGINT NOT NULL PRIMARY KEY,
            k INT NOT NULL,
            due DATETIME NOT NULL,
            body VARCHAR(250) NOT NULL,
            KEY (k)
        ) ENGINE=InnoDB;"
        in_pieces "$1" 1 "$rows" "SELECT $queue_values FROM seq_FROM_TO"
    } | sql app
}

# The small change of every server: other engines, empty tables, an empty database.
create_others() {
    sql -e "CREATE DATABASE empty"
    sql app -e "
        CREATE TABLE aria_t (id INT PRIMARY KEY, v VARCHAR(200), KEY (v)) ENGINE=Aria TRANSACTIONAL=1;
        CREATE TABLE aria_nt (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE=Aria TRANSACTIONAL=0;
        CREATE TABLE myisam_t (id INT PRIMARY KEY, v VARCHAR(200), KEY (v)) ENGINE=MyISAM;
        CREATE TABLE myisam_empty (id INT PRIMARY KEY) ENGINE=MyISAM;
        CREATE TABLE csv_t (id INT NOT NULL, v VARCHAR(200) NOT NULL) ENGINE=CSV;
        CREATE TABLE memory_t (id INT PRIMARY KEY) ENGINE=MEMORY;
        CREATE TABLE parts (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE=InnoDB PARTITION BY HASH (id) PARTITIONS 3;
        CREATE TABLE words (id INT PRIMARY KEY, body TEXT, FULLTEXT (body)) ENGINE=InnoDB;
        INSERT INTO aria_t SELECT seq, SHA1(seq) FROM seq_1_to_5000;
        INSERT INTO aria_nt SELECT seq, SHA1(seq) FROM seq_1_to_5000;
        INSERT INTO myisam_t SELECT seq, SHA1(seq) FROM seq_1_to_5000;
        INSERT INTO csv_t SELECT seq, SHA1(seq) FROM seq_1_to_500;
        INSERT INTO parts SELECT seq, SHA1(seq) FROM seq_1_to_3000;
        INSERT INTO words SELECT seq, CONCAT_WS(' ', SHA1(seq), SHA1(seq + 1)) FROM seq_1_to_200;"
}

create_formats() {
    local kbs
    # KEY_BLOCK_SIZE may not exceed the page size, and pages over 16k have no ROW_FORMAT=COMPRESSED.
    for kbs in 16 8 4 2 1; do
        ((${page_size%k} <= 16 && kbs <= ${page_size%k})) || continue
        create_oltp "kbs_$kbs" 1000 "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=$kbs"
    done
    create_oltp fmt_redundant 1000 "ROW_FORMAT=REDUNDANT"
    create_oltp fmt_compact 1000 "ROW_FORMAT=COMPACT"
    create_oltp page_compressed 2000 "PAGE_COMPRESSED=1"
    create_oltp encrypted 2000 "ENCRYPTED=YES"
    create_oltp encrypted_page_compressed 2000 "ENCRYPTED=YES PAGE_COMPRESSED=1"
    if ((${page_size%k} <= 16)); then
        create_oltp encrypted_kbs 1000 "ENCRYPTED=YES ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=4"
    fi
    # Tables made under the older checksum keep it: a real server has both kinds.
    sql -e "SET GLOBAL innodb_checksum_algorithm = crc32"
    create_oltp legacy 1000
    create_oltp legacy_page_compressed 1000 "PAGE_COMPRESSED=1"
    create_oltp legacy_encrypted 1000 "ENCRYPTED=YES"
    create_oltp legacy_encrypted_page_compressed 1000 "ENCRYPTED=YES PAGE_COMPRESSED=1"
    sql -e "SET GLOBAL innodb_checksum_algorithm = full_crc32"
    # Spatial pages have a type of their own, blob pages no index header.
    sql app -e "
        CREATE TABLE places (id INT PRIMARY KEY, p POINT NOT NULL, SPATIAL KEY (p));
        INSERT INTO places SELECT seq, POINT(RAND(), RAND()) FROM seq_1_to_3000;
        CREATE TABLE blobs (id INT PRIMARY KEY, b LONGBLOB);
        INSERT INTO blobs SELECT seq, REPEAT(SHA1(seq), 2000) FROM seq_1_to_20;"
}

create_data() {
    local i options='' jobs=()
    [[ $load != encrypted ]] || options="ENCRYPTED=YES"
    sql -e "CREATE DATABASE app"
    create_others
    [[ $formats == no ]] || create_formats
    if ((wide_rows)); then create_wide; fi
    for ((i = 1; i <= tables; i++)); do
        case $load in
            uuid) create_uuid "uuid$i" ;;
            queue) create_queue "queue$i" ;;
            *) create_oltp "sbtest$i" "$rows" "$options" ;;
        esac &
        jobs+=($!)
        # Two at a time: one core makes digits while the other builds the index.
        if ((i % 2 == 0 || i == tables)); then wait "${jobs[@]}"; jobs=(); fi
    done
}

# --- the load -----------------------------------------------------------------

# Groups of digits in awk, as in the rows.
awk_digits='
    function group() { return sprintf("%05d%06d", rand() * 100000, rand() * 1000000) }
    function digits(n,    s) { s = group(); while (--n) s = s "-" group(); return s }'

# oltp NIGHT PAGES: statements that change about PAGES distinct pages, four to a transaction.
oltp() {
    awk -v night="$1" -v pages="$2" -v seed="$seed" -v kind="$load" -v tables="$tables" -v rows="$rows" "$awk_digits"'
        # Half of the ids are uniform; of the others, three quarters fall into the first tenth.
        function any_id(    u) { u = rand(); return 3 * int(1 + (rand() < 0.5 ? u : u ^ 8) * rows) }
        BEGIN {
            srand(seed * 1000 + night)
            # Two constants fitted to streams of 0.17 to 2.8 GB, where 5 to 7.5 % of the pages changed: pages
            # that change on any night, and pages per statement (the hot rows lie on pages of their own).
            n = int((pages > 400 ? pages - 300 : 100) / (kind == "hot" ? 1 : 1.6))
            for (i = 0; i < n; i++) {
                if (i % 4 == 0) print "BEGIN;"
                t = "sbtest" (1 + i % tables)
                what = rand()
                if (kind == "hot")
                    # Multiples of the golden ratio spread evenly, and are the same every night.
                    printf "UPDATE %s SET c = \"%s\" WHERE id = %d;\n", t, digits(10),
                        3 * int(1 + (i * 0.6180339887 % 1) * rows)
                else if (what < 0.70)
                    printf "UPDATE %s SET c = \"%s\" WHERE id = %d;\n", t, digits(10), any_id()
                else if (what < 0.90)
                    printf "UPDATE %s SET k = %d WHERE id = %d;\n", t, 1 + rand() * 3 * rows, any_id()
                else {
                    printf "DELETE FROM %s WHERE id = %d;\n", t, any_id()
                    printf "INSERT IGNORE INTO %s VALUES (%d, %d, \"%s\", \"%s\");\n", t,
                        1 + rand() * 3 * rows, 1 + rand() * 3 * rows, digits(10), digits(5)
                }
                if (i % 4 == 3) print "COMMIT;"
            }
            print "COMMIT;"
        }'
}

# insert NIGHT PAGES: rows at the end and at random keys. All of them together touch most of the index on k,
# so that few rows change many pages.
insert() {
    local i at_random=$(($2 / 8 / tables)) at_end=$(($2 * 70 / 6 / tables))
    for ((i = 1; i <= tables; i++)); do
        echo "SET rand_seed1 = $seed * 7919 + $1, rand_seed2 = $i;
              INSERT INTO sbtest$i (k, c, pad) SELECT $row_values FROM seq_1_to_$at_end;
              INSERT IGNORE INTO sbtest$i SELECT FLOOR(1 + RAND() * $max_id), $row_values FROM seq_1_to_$at_random;"
    done
}

# sysbench NIGHT: transactions like those of oltp_write_only. The index on k was built by sorting, so its pages are
# full: an insert splits one. A night has one transaction for every two thousand rows.
sysbench() {
    awk -v night="$1" -v seed="$seed" -v tables="$tables" -v rows="$rows" -v wide="$wide_rows" "$awk_digits"'
        function any_id() { return 3 * int(1 + rand() * rows) }
        function any_k() { return 1 + rand() * 3 * rows }
        BEGIN {
            srand(seed * 1000 + night)
            for (i = 0; i < tables * (1 + rows / 2000); i++) {
                t = "sbtest" (1 + i % tables)
                id = any_id()
                print "BEGIN;"
                printf "UPDATE %s SET k = k + 1 WHERE id = %d;\n", t, any_id()
                printf "UPDATE %s SET c = \"%s\" WHERE id = %d;\n", t, digits(10), any_id()
                printf "DELETE FROM %s WHERE id = %d;\n", t, id
                printf "INSERT INTO %s (id, k, c, pad) VALUES (%d, %d, \"%s\", \"%s\");\n", t, id, any_k(),
                    digits(10), digits(5)
                if (rand() < 0.1)
                    printf "INSERT INTO %s (k, c, pad) VALUES (%d, \"%s\", \"%s\");\n", t, any_k(),
                        digits(10), digits(5)
                print "COMMIT;"
            }
            for (i = 0; i < wide / 1200; i++)
                printf "UPDATE wide SET amount = %.2f, version = version + 1 WHERE id = %d;\n",
                    rand() * 1e6, 1 + rand() * wide
        }'
    # A night adds a row for every four thousand.
    local count=$((wide_rows / 4000 + 1)) first=$((wide_rows + 1))
    first=$((first + ($1 - 1) * count))
    in_pieces wide $first $((first + count - 1)) "SELECT seq, $(wide_values) FROM seq_FROM_TO"
}

# rebuilt NIGHT: sysbench on tables of which some were rebuilt.
rebuilt() {
    (($1 == 1)) || echo "OPTIMIZE TABLE wide; ALTER TABLE sbtest1 FORCE;
        ALTER TABLE sbtest$tables ADD COLUMN added_$1 INT NOT NULL DEFAULT 7 AFTER k, ALGORITHM=COPY;"
    sysbench "$1"
}

# uuid NIGHT: rows at random places, a few changed, a few gone.
uuid() {
    local i count=$((rows * 3 / 100)) first
    first=$((rows + 1 + ($1 - 1) * count))
    for ((i = 1; i <= tables; i++)); do
        in_pieces "uuid$i" $first $((first + count - 1)) "SELECT $(uuid_values "uuid$i") FROM seq_FROM_TO"
        echo "UPDATE uuid$i SET v = v + 1 WHERE v % 500 = $1 % 500;
              DELETE FROM uuid$i WHERE v % 700 = 7 * $1 % 700;"
    done
}

# queue NIGHT: the oldest rows go while new ones come, so that purged pages are used again.
queue() {
    local i step=$((rows / 7 / 20 + 1)) oldest newest piece
    for ((i = 1; i <= tables; i++)); do
        oldest=$((($1 - 1) * step * 20)) newest=$((rows + ($1 - 1) * step * 20))
        for ((piece = 1; piece <= 20; piece++)); do
            echo "DELETE FROM queue$i WHERE id <= $((oldest + piece * step));"
            in_pieces "queue$i" $((newest + (piece - 1) * step + 1)) $((newest + piece * step)) \
                "SELECT $queue_values FROM seq_FROM_TO"
        done
    done
}

# night NIGHT: what happens before backup NIGHT.
night() {
    # A page is 16 KiB here, whatever the server's is: the unit in which pagediff.py counts.
    local pages=$((size * 70000 / 16384))
    case $load in
        oltp | hot | encrypted) oltp "$1" "$pages" ;;
        insert) insert "$1" "$pages" ;;
        alter)
            oltp "$1" $((pages / 4))
            echo "ALTER TABLE sbtest$((($1 - 1) % tables + 1)) FORCE;" ;;
        sysbench | uuid | queue | rebuilt)
            "$load" "$1"
            # A server purges within seconds what it deleted, and has the whole day for it.
            echo "SET GLOBAL innodb_max_purge_lag_wait = 0;" ;;
    esac | sql app >/dev/null
    # Other engines have their small change, too.
    sql app -e "
        UPDATE aria_t SET v = SHA1(v) WHERE id % 97 = $1 % 97;
        INSERT INTO aria_nt SELECT 5000 + $1 * 10 + seq, SHA1(RAND()) FROM seq_1_to_10;
        INSERT INTO myisam_t SELECT 5000 + $1 * 10 + seq, SHA1(RAND()) FROM seq_1_to_10;
        INSERT INTO csv_t VALUES ($1, 'night');
        INSERT INTO words VALUES (1000 + $1, 'another night');"
}

# --- the backup ---------------------------------------------------------------

# DDL on tables other than InnoDB's makes mariabackup write R, D and rewrite chunks, a lively Aria log S.
ddl_forever() {
    local n=0
    while :; do
        n=$((n + 1))
        sql app --force -e "
            UPDATE aria_t SET v = SHA1(RAND());
            CREATE TABLE ddl_a$n (id INT PRIMARY KEY, v VARCHAR(200)) ENGINE=Aria TRANSACTIONAL=1;
            INSERT INTO ddl_a$n SELECT seq, SHA1(seq) FROM seq_1_to_500;
            CREATE TABLE ddl_m$n ENGINE=MyISAM AS SELECT * FROM ddl_a$n;
            CREATE TABLE ddl_i$n ENGINE=InnoDB AS SELECT * FROM ddl_a$n;
            RENAME TABLE ddl_a$n TO ddl_renamed_a$n, ddl_m$n TO ddl_renamed_m$n, ddl_i$n TO ddl_renamed_i$n;
            DROP TABLE IF EXISTS ddl_renamed_a$((n - 2)), ddl_renamed_m$((n - 2)), ddl_renamed_i$((n - 2));
            ALTER TABLE aria_t ADD COLUMN x$n INT;
            ALTER TABLE myisam_t ADD COLUMN x$n INT;
            RENAME TABLE aria_nt TO aria_swap;
            RENAME TABLE aria_swap TO aria_nt;" >/dev/null 2>&1 || true
        sleep 0.3
    done
}

checksums() {
    local tables
    tables=$(sql -e "SELECT GROUP_CONCAT('app.', table_name ORDER BY table_name)
                     FROM information_schema.tables WHERE table_schema = 'app' AND table_type = 'BASE TABLE'")
    sql -e "CHECKSUM TABLE $tables"
}

# pack NIGHT: the stream of a night in less room. Of a small one only the difference to the night before is kept;
# zstd sees no more than 2 GB at once.
pack() {
    local new=$dir/night-$1.mbs old=$dir/night-$(($1 - 1)).mbs bytes
    bytes=$(wc -c <"$new")
    if [[ -e $old ]]; then
        zstd -1 -qf --long=31 --patch-from="$old" -o "$new.patch" "$new"
        rm "$old"
    else
        zstd -1 -qf -T2 -o "$new.zst" "$new"
    fi
    if (($1 == nights || bytes >= 2000000000)); then rm "$new"; fi
}

# backup NIGHT
backup() {
    local out=$dir/night-$1 throttle=()
    checksums >"$out.sums"
    flush
    if [[ $ddl == yes ]]; then
        # Slow enough for DDL to happen between the listing of the tables and the end.
        throttle=(--throttle=20)
        ddl_forever &
        ddl_pid=$!
    fi
    mariabackup --no-defaults --backup --stream=mbstream --user=root --socket="$socket" --datadir="$data" \
        --parallel="$parallel" "${throttle[@]}" >"$out.mbs" 2>"$out.log" ||
        { tail -n 5 "$out.log" >&2; die "the backup of night $1 failed"; }
    if [[ -n $ddl_pid ]]; then
        kill "$ddl_pid"
        wait "$ddl_pid" 2>/dev/null || true
        ddl_pid=''
    fi
    grep -q 'completed OK!' "$out.log" || die "night $1 is not complete, see $out.log"
    say "night $1: $(($(wc -c <"$out.mbs") / 1000000)) MB"
    [[ $packed == no ]] || pack "$1"
}

start_server
say "the server runs"
create_data
say "$tables tables of $rows rows made"
for ((k = 1; k <= nights; k++)); do
    # Before the first night, too: freshly built trees are denser than any that are in use.
    night "$k"
    backup "$k"
done
