"""A year of nights by the program's commands: tests/stores/year starts the servers and runs this.

    year.py MONTHS PLACE [ENDPOINT]

PLACE is a directory or the URL of a bucket; HAULOUT names the program, YEAR_WORK a directory for
keys and streams, YEAR_CLOCK the file from which libfaketime (YEAR_PRELOAD) takes the time that all
processes see.

Two hosts back up four sources each night, with keys and a memory (--state) of their own: one has a
full key, the other a write-only one. A repository, a copy that keeps more and one that keeps less
are pruned each week, the first of them beside the backups. In each month a needed pack of the
repository is deleted and repaired from the longer copy, in odd months before the backups, in even
ones after backups that met the damage; in the middle of the year the keys are rotated. At the end
of each month every snapshot that is kept anywhere is restored and compared with what was backed
up, and everything is verified.
"""

import hashlib, json, os, random, re, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote
from year_streams import Dump, Server

HAULOUT = os.environ["HAULOUT"]
WORK, CLOCK = Path(os.environ["YEAR_WORK"]), Path(os.environ["YEAR_CLOCK"])
FAKED = {**os.environ, "LD_PRELOAD": os.environ["YEAR_PRELOAD"]}
FIRST = date(2027, 1, 1)
SUNDAY, FRIDAY, LOSS = 6, 4, 10
PRODUCER = ["sh", "-c", 'cat "$1" && echo "completed OK!" >&2', "producer"]
COPIES = ("long", "short")
KEPT = {
    "here": ["--keep-daily", "7", "--keep-weekly", "4", "--keep-monthly", "3"],
    "long": ["--keep-daily", "14", "--keep-weekly", "8", "--keep-monthly", "12"],
    "short": ["--keep-daily", "5"],
}
# Percent of the bytes in use: prune's default, and what it leaves in packs that are mostly in use.
UNUSED_MAX = 12

def require(condition, what):
    if not condition:
        sys.exit(f"tests/stores/year: {what}")

def run(words, good=(0,), **more):
    """Runs a command at the simulated time, and returns its output and its exit status."""
    done = subprocess.run([str(word) for word in words], env=FAKED, capture_output=True, **more)
    printed = (done.stderr + done.stdout[-4000:]).decode(errors="replace")
    command = " ".join(map(str, words))
    require(done.returncode in good, f"exit status {done.returncode}: {command}\n{printed}")
    return done.stdout, done.returncode

class Directory:
    """Objects of a repository in a directory, for what the program is not to know of."""
    def __init__(self, root):
        self.root = Path(root)
    def list(self, folder):
        found = [path for path in (self.root / folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.stat().st_size for path in found}
    def get(self, name):
        return (self.root / name).read_bytes()
    def put(self, name, data):
        (self.root / name).write_bytes(data)
    def delete(self, name):
        (self.root / name).unlink()

class Bucket:
    """The same in a bucket, with requests of curl's."""
    def __init__(self, url, endpoint):
        self.bucket, _, self.prefix = url.removeprefix("s3://").partition("/")
        self.endpoint = endpoint
    def ask(self, method, path, *more, **stdin):
        user = f"{os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}"
        return run(["curl", "--silent", "--show-error", "--fail-with-body", "--request", method,
            "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--user", user,
            "--aws-sigv4", f"aws:amz:{os.environ['AWS_REGION']}:s3", *more,
            f"{self.endpoint}/{self.bucket}{path}"], **stdin)[0]
    def list(self, folder):
        found, token = {}, ""
        while token is not None:
            part = f"continuation-token={quote(token, safe='')}&" if token else ""
            prefix = quote(f"{self.prefix}/{folder}/", safe="")
            text = self.ask("GET", f"?{part}list-type=2&prefix={prefix}").decode()
            for entry in re.findall(r"<Contents>.*?</Contents>", text, re.DOTALL):
                name = re.search(r"<Key>(.*?)</Key>", entry).group(1)
                size = re.search(r"<Size>(\d+)</Size>", entry).group(1)
                found[name.removeprefix(self.prefix + "/")] = int(size)
            next_one = re.search(r"<NextContinuationToken>(.*?)</NextContinuationToken>", text)
            token = next_one and next_one.group(1)
        return found
    def get(self, name):
        return self.ask("GET", f"/{self.prefix}/{name}")
    def put(self, name, data):
        self.ask("PUT", f"/{self.prefix}/{name}", "--data-binary", "@-", input=data)
    def delete(self, name):
        self.ask("DELETE", f"/{self.prefix}/{name}")

class Place:
    """A repository or a copy, and the key that opens it for those who look after it."""
    def __init__(self, name, base, endpoint):
        self.name, self.url, self.key = name, f"{base}/{name}", WORK / "admin.key"
        self.common = ["--threads", "2", "--memory", "128MiB"]
        self.common += ["--endpoint", endpoint, "--allow-http"] if endpoint else []
        self.store = Bucket(self.url, endpoint) if endpoint else Directory(self.url)
    def haulout(self, *words, key=None, good=(0,)):
        """Runs a command with --json; returns what it printed and its exit status."""
        command = [HAULOUT, "--repo", self.url, "--password-file", key or self.key, "--json"]
        out, status = run(command + self.common + list(words), good)
        return (json.loads(out) if out.strip() else None), status
    def snapshots(self):
        return self.haulout("snapshots")[0]
    def prune(self):
        """Forgets what the rules of this place do not keep, and prunes with compaction."""
        # A week of nights is more than half of what is kept.
        words = ["forget", "--prune", "--yes", "--allow", "half"]
        self.haulout(*words, *KEPT[self.name])
    def space(self):
        """Packs, their bytes, and those of them that nothing needs."""
        plan, _ = self.haulout("prune", "--plan")
        packs = self.store.list("packs")
        return len(packs), sum(packs.values()), plan

class Source:
    """What is backed up, and by which host."""
    def __init__(self, name, host, server):
        self.name, self.host, self.server, self.since = name, host, server, None
        self.file = WORK / f"{name}.stream"
    def night(self, day):
        """Writes tonight's stream; that of crm is an increment but for Sundays."""
        self.server.night()
        if self.name == "crm":
            full = self.since is None or day.weekday() == SUNDAY
            stream = self.server.stream() if full else self.server.increment(self.since)
            self.since = self.server.lsn - 5
        else:
            stream = self.server.stream()
        self.file.write_bytes(stream)
        self.hash = hashlib.sha256(stream).hexdigest()
    def producer(self):
        return ["cat", self.file] if self.name == "wiki" else PRODUCER + [self.file]

class Year:
    def __init__(self, base, endpoint):
        self.random = random.Random(int(os.environ.get("YEAR_SEED", "1")))
        self.places = [Place(name, base, endpoint) for name in ("here", *COPIES)]
        self.here, self.long, self.short = self.places
        self.sources = [
            Source("shop", 1, Server(1, 256, 0.02)),
            Source("crm", 1, Server(2, 256, 0.02)),
            Source("blog", 2, Server(3, 128, 0.01)),
            Source("wiki", 2, Dump(4, 3000, 0.01)),
        ]
        self.hosts = {1: WORK / "host-1.key", 2: WORK / "host-2.key"}
        self.stored = {}
        self.nights = self.healed = self.restored = self.met_damage = 0
        self.rows = []
        self.set_clock(FIRST)
        os.environ["HAULOUT_PASSWORD"] = FAKED["HAULOUT_PASSWORD"] = "correct horse"
        words = [HAULOUT, "--repo", self.here.url, *self.here.common]
        run(words + ["init"])
        run(words + ["key", "add", "--label", "admin", "--key-file", self.here.key])
        del os.environ["HAULOUT_PASSWORD"], FAKED["HAULOUT_PASSWORD"]
        self.add_hosts()

    def set_clock(self, day):
        """Moves the clock of all processes to two o'clock of a day."""
        at = datetime(day.year, day.month, day.day, 2, tzinfo=timezone.utc).timestamp()
        new = CLOCK.with_suffix(".new")
        new.write_text(f"{int(at - time.time()):+d}\n")
        new.rename(CLOCK)

    def add_hosts(self):
        for host, key in self.hosts.items():
            kind = ["--write-only"] if host == 2 else []
            self.here.haulout("key", "add", "--label", f"host-{host}", *kind, "--key-file", key)

    def rotate(self):
        """Draws a new key; the hosts get new ones, and the old ones write nothing any more."""
        old, new = dict(self.hosts), WORK / "admin-2.key"
        self.here.haulout("key", "rotate", "--key-file", new)
        self.here.key = new
        self.hosts = {host: WORK / f"host-{host}-2.key" for host in old}
        self.add_hosts()
        for key in old.values():
            words = ["backup", "--source", "late", "--", "true"]
            self.here.haulout(*words, key=key, good=range(1, 256))

    def back_up_as(self, host, sources, good, failed):
        """What a host does at night."""
        try:
            for source in sources:
                words = ["--state", WORK / f"state-{host}", "backup", "--source", source.name, "--"]
                words += source.producer()
                about, status = self.here.haulout(*words, key=self.hosts[host], good=good)
                require(about["verdict"] == "complete", about)
                self.stored[about["snapshot"]] = source.hash
                self.met_damage += status == 3
        except BaseException as error:
            failed.append(error)

    def back_up(self, day, good):
        """Backs up all sources, each host for itself, with a prune beside them on Sundays."""
        for source in self.sources:
            source.night(day)
        todo = {host: [one for one in self.sources if one.host == host] for host in self.hosts}
        if self.random.randrange(7) == 0:
            # Both hosts back up one source.
            todo[2].append(self.sources[0])
        failed = []
        threads = [threading.Thread(target=self.back_up_as, args=(host, sources, good, failed))
            for host, sources in todo.items()]
        for thread in threads:
            thread.start()
        if day.weekday() == SUNDAY:
            self.here.prune()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    def lose_a_pack(self):
        """Deletes a pack that is needed: one whose loss a verification sees."""
        packs = sorted(self.here.store.list("packs"))
        while True:
            name = packs.pop(self.random.randrange(len(packs)))
            data = self.here.store.get(name)
            self.here.store.delete(name)
            report, status = self.here.haulout("verify", "--depth", "objects", good=(0, 3))
            if status == 3:
                count = len(report["findings"])
                print(f"     {name}, {len(data)} bytes, is lost: {count} findings", flush=True)
                return
            self.here.store.put(name, data)

    def heal(self):
        report, _ = self.here.haulout("repair", "--from", self.long.url)
        require(not report["lost"] and not report["failed"] and not report["findings"], report)
        self.healed += 1

    def live(self, day):
        """A day and its night."""
        self.set_clock(day)
        good, lost, meets = (0,), day.day == LOSS, day.month % 2 == 0
        if lost:
            self.lose_a_pack()
            if meets:
                good = (0, 3)
            else:
                self.heal()
        self.back_up(day, good)
        if lost and meets:
            self.heal()
        self.replicate(self.long)
        if day.weekday() == FRIDAY:
            self.replicate(self.short)
        if day.weekday() == SUNDAY and self.nights:
            self.long.prune()
            self.short.prune()
        self.nights += 1

    def replicate(self, copy):
        report, _ = self.here.haulout("replicate", "--to", copy.url, "--init")
        require(not report["left_out"] and not report["damaged"], report)
        copy.key = self.here.key

    def restore(self, place, snapshot):
        """Restores a stream, and compares it with what was backed up."""
        command = [HAULOUT, "--repo", place.url, "--password-file", place.key, "-q", *place.common]
        stream, _ = run(command + ["restore", snapshot["id"], "--stdout"])
        what = f"{place.name}: {snapshot['id']} of {snapshot['source']}, {snapshot['time']}"
        is_same = hashlib.sha256(stream).hexdigest() == self.stored[snapshot["id"]]
        require(is_same, f"{what}, is not what was stored")

    def end_month(self, day):
        for place in self.places:
            # The first deletes what is left of runs that ended, the second what only they needed.
            place.haulout("prune", "--yes")
            place.haulout("prune", "--yes")
            kept = place.snapshots()
            for source in self.sources:
                newest = max(one["time"] for one in kept if one["source"] == source.name)
                late = day - date.fromisoformat(newest[:10])
                most = timedelta(days=6 if place is self.short else 0)
                require(late <= most, f"{place.name}: {source.name} ends {newest}")
            with ThreadPoolExecutor(2) as restores:
                list(restores.map(lambda one: self.restore(place, one), kept))
            self.restored += len(kept)
            report, _ = place.haulout("verify", "--depth", "pages")
            require(not report["findings"], report["findings"])
            packs, size, plan = place.space()
            require(not plan["freed_packs"] and not plan["snapshots"], plan)
            unused = plan["unused_bytes"]
            is_little = unused * 100 <= (size - unused) * UNUSED_MAX
            require(is_little, f"{place.name}: {unused} of {size} bytes are unused")
            over = f"{size / (size - unused):.3f}"
            row = (f"{day:%Y-%m}", place.name, self.nights, len(kept), size, over, packs)
            self.rows.append((*row, self.healed))
            print_row(self.rows[-1])

def print_row(row):
    print("     {:8} {:6} {:>6} {:>9} {:>12} {:>9} {:>6} {:>6}".format(*row), flush=True)

def main():
    months, base = int(sys.argv[1]), sys.argv[2]
    year = Year(base, sys.argv[3] if len(sys.argv) > 3 else None)
    header = ("month", "place", "nights", "snapshots", "bytes", "over live", "packs", "healed")
    print_row(header)
    day, month, rotates = FIRST, 0, months // 2
    while month < months:
        if month == rotates and day.day == 5:
            year.rotate()
        year.live(day)
        day += timedelta(days=1)
        if day.day == 1:
            year.end_month(day - timedelta(days=1))
            month += 1
    print()
    print_row(header)
    for row in year.rows[-len(year.places):]:
        print_row(row)
    print(f"     {len(year.stored)} backups, {year.restored} restores compared, {year.healed} "
        f"packs healed, {year.met_damage} backups met damage, keys rotated in month {rotates + 1}")

main()
