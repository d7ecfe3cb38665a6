#!/usr/bin/env python3
"""How much time does each thread of a backup take, and what would more cores give?

usage: threads.py [options] NIGHT-1.mbs NIGHT-2.mbs PROGRAM...

Backs up both streams from the page cache with each PROGRAM (haulout, of several versions if wanted) in turns, the first
into a new repository, the second into the one that has the first. Prints medians: the CPU seconds of each thread per GB
of its stream, as the kernel counts them in /proc/PID/task, the wall time, all CPU time, and the peak of memory. Threads
are looked at every few milliseconds: what one does just before it ends may be missing.

From these it computes what more cores would give at most. Nothing is faster than the one thread that reads, the one
that collects, or the threads that store packs, of which --uploads says how many there are; the work of all together is
divided by the cores. It supposes that memory and caches grow with the cores, and that the producer and the store keep
up. The main thread is left out: it stretches the password, whatever the size of the stream.
"""

import argparse
import collections
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

CORES = (2, 4, 16, 64)
LOOK_SECONDS = 0.01
WORKER = re.compile(r"haulout-work-\d+$")
SENDER = re.compile(r"haulout-send-\d+$")

Run = collections.namedtuple("Run", "threads wall cpu peak")


def look(pid, threads):
    """Enters the CPU seconds so far of all threads of a process, by their names."""
    try:
        for number in os.listdir(f"/proc/{pid}/task"):
            task = f"/proc/{pid}/task/{number}"
            with open(f"{task}/schedstat", encoding="ascii") as file:
                seconds = int(file.read().split()[0]) / 1e9
            with open(f"{task}/comm", encoding="utf-8") as file:
                name = "main" if int(number) == pid else file.read().strip()
            threads[number] = (name, seconds)
    except (FileNotFoundError, ProcessLookupError, IndexError):
        pass  # It has just ended.


def run(command, stream):
    """Runs a command on a stream."""
    threads = {}
    with open(stream, "rb") as source:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=source, stdout=subprocess.DEVNULL)
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            look(process.pid, threads)
            time.sleep(LOOK_SECONDS)
        wall = time.monotonic() - began
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # A backup with findings ends with 3.
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    seconds = collections.Counter()
    for name, spent in threads.values():
        seconds[name] += spent
    return Run(seconds, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def report(title, runs, gigabytes, uploads):
    """Prints the medians of some runs, and the model."""
    median = lambda of: statistics.median(map(of, runs))
    wall, cpu, peak = (median(lambda run: getattr(run, what)) for what in ("wall", "cpu", "peak"))
    print(f"\n{title}: {gigabytes:.2f} GB, {wall:.2f} s, {cpu:.2f} s CPU, {peak:.0f} MiB")
    names = {name for run in runs for name in run.threads}
    threads = {name: median(lambda run: run.threads[name]) / gigabytes for name in names}
    for name, seconds in sorted(threads.items(), key=lambda thread: -thread[1]):
        if seconds >= 0.0005:
            print(f"  {name:16} {seconds:6.3f} s/GB")
    threads.pop("main", None)
    sending = sum(seconds for name, seconds in threads.items() if SENDER.match(name)) / uploads
    single = [seconds for name, seconds in threads.items() if not WORKER.match(name) and not SENDER.match(name)]
    together = sum(threads.values())
    rates = (f"{cores}: {1 / max(sending, *single, together / cores):.1f}" for cores in CORES)
    print(f"  at most, GB/s by cores: {', '.join(rates)}")


def main():
    usage = __doc__.split("\n\n")[1].removeprefix("usage: ")
    parser = argparse.ArgumentParser(usage=usage)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--uploads", type=int, default=2, help="threads that store packs, in the model")
    parser.add_argument("--store", default="/dev/shm", help="where repositories are made")
    parser.add_argument("--option", action="append", default=[], help="an option of backup, as --option=--no-read-back")
    parser.add_argument("nights", nargs=2)
    parser.add_argument("programs", nargs="+")
    asked = parser.parse_args()
    os.environ["HAULOUT_PASSWORD"] = "x"
    runs = collections.defaultdict(list)
    for _ in range(asked.rounds):
        for program in asked.programs:
            store = tempfile.mkdtemp(prefix="haulout-threads.", dir=asked.store)
            haulout = [os.path.abspath(program), "--quiet", "--repo", f"{store}/repository"]
            backup = [*haulout, "--threads", str(asked.threads), "backup", "--source", "bench", *asked.option]
            try:
                subprocess.run([*haulout, "init"], check=True, stdout=subprocess.DEVNULL)
                for case, stream in zip(("first", "next"), asked.nights):
                    runs[program, case].append(run(backup, stream))
            finally:
                shutil.rmtree(store)
    for (program, case), done in runs.items():
        gigabytes = os.path.getsize(asked.nights[case == "next"]) / 1e9
        report(f"{program}, {case}", done, gigabytes, asked.uploads)


if __name__ == "__main__":
    main()
