# Real servers on loopback, for scripts that source this: garage (one node, or three), Ceph, Azurite.
# shellcheck shell=bash disable=SC2034
#
# `start_server NAME` sets $place, $endpoint and $conflicts, exports the service's variables, and where
# it can be done defines kill_node and revive_node (one of three), or has one $main_process, to which
# freeze_server, thaw_server, kill_server and revive_server are done; $keeps says whether what it has
# answered for survives that. The caller has set $work, a directory; its trap calls stop_server.

servers_known=(garage garage3 ceph azurite)

# In the order of their start.
processes=()
main_process='' main_words=() keeps=yes

stop_server() {
    local at
    for ((at = ${#processes[@]} - 1; at >= 0; at--)); do
        end_process "${processes[at]}"
    done
    processes=()
    main_process='' keeps=yes
    unset -f kill_node revive_node
}

start_server() {
    rm -rf "${work:?}/$1"
    mkdir -p "$work/$1"
    "start_$1" "$work/$1"
}

# Starts a process that writes to a file; it is in $started then.
begin() {
    local log=$1
    shift
    "$@" >>"$log" 2>&1 &
    started=$!
    # Whoever is killed on purpose is not worth a message.
    disown "$started"
    processes+=("$started")
}

# Starts the process that answers, if there is one.
begin_main() {
    begin "$@"
    main_process=$started main_words=("$@")
}

freeze_server() { kill -STOP "$main_process"; }
thaw_server() { kill -CONT "$main_process"; }
kill_server() { kill_process "$main_process"; }
revive_server() { begin_main "${main_words[@]}"; }

end_process() {
    kill -CONT "$1" 2>/dev/null || return 0
    kill "$1" 2>/dev/null || return 0
    timeout 10 tail --pid="$1" -f /dev/null || kill_process "$1"
}

kill_process() {
    kill -9 "$1" 2>/dev/null || return 0
    timeout 10 tail --pid="$1" -f /dev/null
}

# Runs words until they succeed, for a minute.
await() {
    local tries=0
    until "$@" >/dev/null 2>&1; do
        ((++tries < 600)) || die "this did not succeed in a minute: $*"
        sleep 0.1
    done
}

# A request that is signed: what to do, the path below the endpoint, further words for curl.
ask_s3() {
    curl --silent --fail-with-body --request "$1" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
        --aws-sigv4 "aws:amz:$AWS_REGION:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        "$endpoint/$2" "${@:3}"
}

use_s3() {
    place=s3://test endpoint=http://127.0.0.1:$1
    export AWS_ACCESS_KEY_ID=$2 AWS_SECRET_ACCESS_KEY=$3 AWS_REGION=us-east-1
}

# --- garage: ignores conditions ----------------------------------------------------------------------

find_garage() {
    garage=${GARAGE:-$(command -v garage || true)}
    [[ -z $garage ]] || return 0
    garage=$work/tools/bin/garage
    [[ -x $garage ]] || CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
        CARGO_TARGET_DIR=$work/tools/target nice cargo install --locked garage --version 2.5.0 \
        --root "$work/tools" --no-default-features --features bundled-libs,lmdb,sqlite
}

garage_key=GK31c2f218a2e44f485b94239e
garage_secret=b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835
garage_rpc=1799bccfd7411eddcf9ebd316bc1f5287ad12a68094e1c6ac6abde7e6feae1ec

# A node: its directory, its port, the database of its metadata, how many copies there are.
write_garage() {
    mkdir -p "$1"
    cat >"$1/garage.toml" <<TOML
metadata_dir = "$1/meta"
data_dir = "$1/data"
db_engine = "$3"
replication_factor = $4
rpc_bind_addr = "127.0.0.1:$(($2 + 1))"
rpc_public_addr = "127.0.0.1:$(($2 + 1))"
rpc_secret = "$garage_rpc"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:$2"
TOML
}

start_garage() {
    find_garage
    write_garage "$1" 18100 sqlite 1
    begin_main "$1/log" env GARAGE_DEFAULT_ACCESS_KEY=$garage_key \
        GARAGE_DEFAULT_SECRET_KEY=$garage_secret GARAGE_DEFAULT_BUCKET=test \
        "$garage" -c "$1/garage.toml" server --single-node --default-bucket
    use_s3 18100 $garage_key $garage_secret
    conflicts=silent
    await ask_s3 GET test
}

start_garage3() {
    find_garage
    local node ids=() ask=("$garage" -c "$1/0/garage.toml")
    for node in 0 1 2; do
        write_garage "$1/$node" $((18200 + 10 * node)) lmdb 3
        begin "$1/$node/log" "$garage" -c "$1/$node/garage.toml" server
    done
    eval "kill_node() { kill_process $started; }"
    eval "revive_node() {
        begin '$1/2/log' '$garage' -c '$1/2/garage.toml' server
        eval \"kill_node() { kill_process \$started; }\"
        await '$garage' -c '$1/2/garage.toml' status
    }"
    for node in 0 1 2; do
        await "$garage" -c "$1/$node/garage.toml" node id -q
        ids[node]=$("$garage" -c "$1/$node/garage.toml" node id -q 2>/dev/null)
    done
    await "${ask[@]}" status
    {
        "${ask[@]}" node connect "${ids[1]}"
        "${ask[@]}" node connect "${ids[2]}"
        for node in 0 1 2; do
            "${ask[@]}" layout assign -z "zone$node" -c 20G "${ids[node]%@*}"
        done
        "${ask[@]}" layout apply --version 1
        "${ask[@]}" key import --yes -n test $garage_key $garage_secret
        "${ask[@]}" bucket create test
        "${ask[@]}" bucket allow --read --write --owner test --key test
    } >"$1/layout" 2>&1
    use_s3 18200 $garage_key $garage_secret
    conflicts=silent
    await ask_s3 GET test
}

# --- Ceph: one monitor, three OSDs, one gateway: what an operator's OpenStack has, small -------------

install_ceph() {
    ((EUID == 0)) || die "ceph is started by root"
    command -v radosgw >/dev/null && command -v ceph-osd >/dev/null && return 0
    local -x DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet=2
    apt-get install --quiet=2 --yes --no-install-recommends ceph-mon ceph-osd radosgw
}

write_ceph() {
    cat >"$CEPH_CONF" <<CONF
[global]
fsid = $2
mon_host = [v2:127.0.0.1:13300,v1:127.0.0.1:13310]
mon_initial_members = a
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = $1/run
pid_file = $1/run/\$type.\$id.pid
log_file = $1/log/\$cluster-\$name.log
admin_socket = $1/run/\$cluster-\$name.asok
osd_pool_default_size = 3
osd_pool_default_min_size = 2
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 1
mon_data_avail_warn = 2
mon_data_avail_crit = 1
[mon]
mon_data = $1/mon.\$id
mon_cluster_log_file = $1/log/cluster.log
[osd]
osd_crush_update_on_start = false
osd_data = $1/osd.\$id
osd_objectstore = bluestore
bluestore_block_size = 10737418240
osd_memory_target = 939524096
osd_class_load_list = *
osd_class_default_list = *
[client]
keyring = $1/keyring
CONF
}

all_osds_up() { ceph osd stat | grep -q '3 up'; }

start_ceph() {
    install_ceph
    local dir=$1 fsid uuid id osd=()
    fsid=$(cat /proc/sys/kernel/random/uuid)
    mkdir -p "$dir/run" "$dir/log"
    export CEPH_CONF=$dir/ceph.conf
    write_ceph "$dir" "$fsid"
    touch "$dir/keyring"
    monmaptool --create --clobber --fsid "$fsid" \
        --addv a '[v2:127.0.0.1:13300,v1:127.0.0.1:13310]' "$dir/monmap" >/dev/null
    ceph-mon --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
    begin "$dir/log/mon" ceph-mon -i a -f
    timeout 60 ceph mon stat >/dev/null
    for id in 0 1 2; do
        uuid=$(cat /proc/sys/kernel/random/uuid)
        ceph osd create "$uuid" >/dev/null
        mkdir -p "$dir/osd.$id"
        ceph osd crush add "osd.$id" 1.0 "host=node$id" root=default >/dev/null 2>&1
        ceph-osd -i "$id" --mkfs --osd-uuid "$uuid" 2>"$dir/log/mkfs.$id" &
        osd+=($!)
    done
    wait "${osd[@]}"
    for id in 0 1 2; do
        begin "$dir/log/osd" ceph-osd -i "$id" -f
    done
    eval "kill_node() { kill_process $started; }"
    eval "revive_node() {
        begin '$dir/log/osd' ceph-osd -i 2 -f
        eval \"kill_node() { kill_process \$started; }\"
        await all_osds_up
    }"
    await all_osds_up
    begin_main "$dir/log/rgw" radosgw -n client.rgw0 \
        --rgw_frontends='beast endpoint=127.0.0.1:17480' -f
    await curl -s -o /dev/null http://127.0.0.1:17480/
    radosgw-admin user create --uid=test --display-name=test --access-key=testkey \
        --secret=testsecret >/dev/null
    use_s3 17480 testkey testsecret
    conflicts=refused
    ask_s3 PUT test
}

# --- Azurite, the emulator of Azure's blobs ----------------------------------------------------------

start_azurite() {
    local prefix=$work/tools/azurite
    [[ -x $prefix/node_modules/.bin/azurite-blob ]] ||
        npm install --silent --no-audit --no-fund --prefix "$prefix" azurite@3.37.0
    begin_main "$1/log" "$prefix/node_modules/.bin/azurite-blob" --silent --skipApiVersionCheck \
        --blobPort 18400 --location "$1/data"
    # Its index is written every few seconds only.
    keeps=no
    # The emulator's account and key are the same everywhere.
    export AZURE_STORAGE_ACCOUNT_NAME=devstoreaccount1
    export AZURE_STORAGE_ACCOUNT_KEY=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==
    place=az://test endpoint=http://127.0.0.1:18400/devstoreaccount1
    conflicts=refused
    await curl -s -o /dev/null "$endpoint"
    make_container
}

# A container is made by a request that is signed with the account's key.
make_container() {
    python3 - "$endpoint" "$AZURE_STORAGE_ACCOUNT_NAME" "$AZURE_STORAGE_ACCOUNT_KEY" <<'PYTHON'
import base64, email.utils, hashlib, hmac, sys, urllib.request
endpoint, account, key = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
headers = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n"
resource = f"/{account}/{account}/test\nrestype:container"
text = "PUT" + "\n" * 12 + headers + resource
signature = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
request = urllib.request.Request(f"{endpoint}/test?restype=container", method="PUT", data=b"")
request.add_header("x-ms-date", date)
request.add_header("x-ms-version", "2021-08-06")
request.add_header("Content-Type", "")
request.add_header("Authorization", f"SharedKey {account}:{base64.b64encode(signature).decode()}")
urllib.request.urlopen(request)
PYTHON
}
