# shellcheck shell=bash
# A throw-away Galera cluster on loopback, and a balancer before it. To be sourced after lib.sh; PORT is the first of
# 40 ports of 127.0.0.1.

# shellcheck disable=SC2154  # lib.sh sets $work
provider=/usr/lib/galera/libgalera_smm.so
port=${PORT:-23000}
# State transfers by rsync fail as root without a user of their own.
runs_as=()
((EUID)) || runs_as=(--user=mysql)

# Installs what a cluster needs, and opens $work to its user.
need_cluster() {
    need_programs haproxy haproxy rsync rsync
    [[ -e $provider ]] || die "$provider is missing; on Debian: sudo apt-get install galera-4"
    ((EUID)) || chmod 755 "$work"
}

# start_node NUMBER ADDRESS [ARGS]: a node of the cluster, and waits until it has caught up.
start_node() {
    local number=$1 address=$2 data=$work/node$1 first=$((port + 10 * $1)) _
    shift 2
    if [[ ! -d $data ]]; then
        mkdir "$data"
        ((EUID)) || chown mysql "$data"
        TMPDIR=$data mariadb-install-db --no-defaults "${runs_as[@]}" --datadir="$data/data" --skip-test-db \
            --auth-root-authentication-method=normal >"$data.log" 2>&1 || die "mariadb-install-db failed"
    fi
    TMPDIR=$data mariadbd --no-defaults "${runs_as[@]}" --datadir="$data/data" --socket="$data/sock" --port="$first" \
        --bind-address=127.0.0.1 --pid-file="$data/pid" --log-error="$data/log.err" --binlog-format=ROW --server-id=1 \
        --log-bin=bin --log-slave-updates --innodb-autoinc-lock-mode=2 --innodb-flush-log-at-trx-commit=0 \
        --innodb-buffer-pool-size=64M --wsrep-on=ON --wsrep-provider="$provider" --wsrep-cluster-name=test \
        --wsrep-gtid-mode=ON --wsrep-gtid-domain-id=7 --wsrep-cluster-address="$address" \
        --wsrep-node-name="db$number" --wsrep-node-address="127.0.0.1:$((first + 1))" --wsrep-sst-method=rsync \
        --wsrep-sst-receive-address="127.0.0.1:$((first + 3))" --wsrep-provider-options="base_port=$((first + 1));\
gmcast.listen_addr=tcp://127.0.0.1:$((first + 1));ist.recv_addr=127.0.0.1:$((first + 2));gcache.size=32M;\
evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT3S;evs.inactive_timeout=PT6S;evs.inactive_check_period=PT0.5S" \
        "$@" >>"$data.log" 2>&1 &
    servers[db$number]=$!
    for _ in {1..300}; do
        [[ $(state "$number") == "4 Primary" ]] && return
        kill -0 "${servers[db$number]}" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$data.log" "$data/log.err" >&2 || true
    die "node $number does not come up"
}

# start_cluster N [ARGS]: all its nodes, with these options besides.
start_cluster() {
    local nodes=$1 number members=
    shift
    for ((number = 1; number <= nodes; number++)); do members+=",127.0.0.1:$((port + 10 * number + 1))"; done
    start_node 1 gcomm:// "$@"
    for ((number = 2; number <= nodes; number++)); do start_node "$number" "gcomm://${members#,}" "$@"; done
}

# start_balancer N: HAProxy on $port, before N nodes of which the first that is up gets everything.
start_balancer() {
    local number backup='' _
    cat >"$work/haproxy.cfg" <<CFG
defaults
    mode tcp
    timeout connect 2s
    timeout client 1m
    timeout server 1m
listen database
    bind 127.0.0.1:$port
CFG
    for ((number = 1; number <= $1; number++)); do
        echo "    server db$number 127.0.0.1:$((port + 10 * number)) check inter 500$backup"
        backup=" backup"
    done >>"$work/haproxy.cfg"
    haproxy -db -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
    pids+=($!)
    for _ in {1..100}; do
        if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
        sleep 0.1
    done
    die "HAProxy does not take connections: $(tail -n 3 "$work/haproxy.log")"
}

# on NUMBER [ARGS]: a client of a node.
on() {
    local number=$1
    shift
    mariadb --no-defaults --user=root --socket="$work/node$number/sock" --batch --skip-column-names "$@"
}

# state NUMBER: of a node, and of the part of the cluster that it sees.
state() {
    on "$1" -e "SHOW STATUS WHERE Variable_name IN ('wsrep_local_state', 'wsrep_cluster_status')" 2>/dev/null |
        sort -r | cut -f 2 | paste -sd ' '
}
