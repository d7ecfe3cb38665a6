#!/usr/bin/env python3
"""A thin link between two network namespaces, and what goes over it; needs root.

  link.py forward NEAR FAR [--rate BITS] [--delay MS] [--loss PERCENT] [--seed N]
      makes an interface `link0` in both namespaces (10.77.0.1 and 10.77.0.2) and carries frames
      between them until it is ended: each direction at RATE behind a queue of 100 ms, DELAY on the
      way, and of each hundred frames LOSS are lost, by chance. It prints "ready" first. A signal
      USR1 cuts the link, the next one mends it.
  link.py sample INTERFACE SECONDS LIMIT
      prints "ready", looks at an interface of this namespace every 20 ms and prints, as JSON, the
      mean of what left it and the most that did within any one second, in bytes and in parts of LIMIT.

It stands in for tc netem, which many kernels are built without.
"""

import argparse
import collections
import fcntl
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
QUEUE_SECONDS = 0.1


def tap(name, namespace, address):
    """An interface in a namespace, and the file that its frames come out of."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    run = lambda *words: subprocess.run(words, check=True)
    run("ip", "link", "set", name, "netns", namespace)
    inside = ("ip", "-n", namespace)
    run(*inside, "link", "set", name, "name", "link0")
    run(*inside, "address", "add", address, "dev", "link0")
    run(*inside, "link", "set", "link0", "up", "txqueuelen", "1000")
    run(*inside, "link", "set", "lo", "up")
    return file


class Direction:
    """Frames on their way from one file to the other."""

    def __init__(self, source, target, chosen, chance):
        self.source, self.target, self.chance = source, target, chance
        self.seconds_per_byte = 8 / chosen.rate
        self.delay, self.loss = chosen.delay / 1000, chosen.loss / 100
        self.free_at = 0.0
        self.way = collections.deque()

    def take(self, now, cut):
        for _ in range(64):
            try:
                frame = os.read(self.source, 2048)
            except BlockingIOError:
                return
            if cut or self.free_at - now > QUEUE_SECONDS:
                continue
            self.free_at = max(now, self.free_at) + len(frame) * self.seconds_per_byte
            if self.chance.random() >= self.loss:
                self.way.append((self.free_at + self.delay, frame))

    def give(self, now, cut):
        while self.way and self.way[0][0] <= now:
            frame = self.way.popleft()[1]
            if not cut:
                try:
                    os.write(self.target, frame)
                except OSError:
                    pass


def forward(chosen):
    chance = random.Random(chosen.seed)
    near = tap(f"tapn{os.getpid()}", chosen.near, "10.77.0.1/24")
    far = tap(f"tapf{os.getpid()}", chosen.far, "10.77.0.2/24")
    ways = [Direction(near, far, chosen, chance), Direction(far, near, chosen, chance)]
    cut = False

    def toggle(_number, _frame):
        nonlocal cut
        cut = not cut

    signal.signal(signal.SIGUSR1, toggle)
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        due = min((way.way[0][0] for way in ways if way.way), default=now + 1)
        readable, _, _ = select.select([near, far], [], [], max(0, due - now))
        now = time.monotonic()
        for way in ways:
            if way.source in readable:
                way.take(now, cut)
            way.give(now, cut)


def sent(interface):
    with open("/proc/self/net/dev") as table:
        for line in table:
            name, _, counters = line.partition(":")
            if name.strip() == interface:
                return int(counters.split()[8])
    sys.exit(f"link.py: there is no interface {interface}")


def sample(chosen):
    print("ready", flush=True)
    end = time.monotonic() + chosen.seconds
    seen = []
    while (now := time.monotonic()) < end:
        seen.append((now, sent(chosen.interface)))
        time.sleep(0.02)
    # From the first byte to the last: what was before and after was no transfer.
    first = next((at for at in range(1, len(seen)) if seen[at][1] - seen[0][1] > chosen.limit / 10), 1)
    last = len(seen) - 1
    while last > first and seen[last][1] == seen[last - 1][1]:
        last -= 1
    most, begin = 0, first
    for at in range(first, last + 1):
        # The window of at least a second that is next to it, told at its true length.
        while begin + 1 < at and seen[at][0] - seen[begin + 1][0] >= 1:
            begin += 1
        time_apart = seen[at][0] - seen[begin][0]
        if time_apart >= 1:
            most = max(most, (seen[at][1] - seen[begin][1]) / time_apart)
    # The mean of the bulk: what is asked before it and confirmed behind it waits for answers.
    total = seen[last][1] - seen[first][1]
    part = lambda share: next(at for at in seen[first:] if at[1] - seen[first][1] >= total * share)
    (begin, bytes_before), (end, bytes_then) = part(0.1), part(0.9)
    mean = (bytes_then - bytes_before) / max(1e-9, end - begin)
    told = {
        "seconds": round(seen[last][0] - seen[first][0], 2),
        "mean": round(mean),
        "most": round(most),
        "mean_of_limit": round(mean / chosen.limit, 4),
        "most_of_limit": round(most / chosen.limit, 4),
    }
    print(json.dumps(told))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("forward")
    verb.add_argument("near")
    verb.add_argument("far")
    verb.add_argument("--rate", type=float, default=100e6)
    verb.add_argument("--delay", type=float, default=0)
    verb.add_argument("--loss", type=float, default=0)
    verb.add_argument("--seed", type=int, default=1)
    verb.set_defaults(run=forward)
    verb = verbs.add_parser("sample")
    verb.add_argument("interface")
    verb.add_argument("seconds", type=float)
    verb.add_argument("limit", type=float)
    verb.set_defaults(run=sample)
    chosen = parser.parse_args()
    chosen.run(chosen)


if __name__ == "__main__":
    main()
