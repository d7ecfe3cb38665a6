#!/usr/bin/env python3
"""Which share of the 16 KiB pages differs between two mbstream files?

usage: pagediff.py OLD.mbs NEW.mbs

Compares by member and offset, as haulout does, and prints one line per kind of member. It serves to calibrate the
load of nights.sh, not to judge a stream: it trusts what it reads.
"""

import mmap
import struct
import sys
from collections import Counter, defaultdict

PAGE = 16384
ZERO = bytes(PAGE)
MAGIC = b"XBSTCK01"


def read_stream(path):
    """Returns the mapped file, {member: {page index: position}} and the number of chunks of each type."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    members, types, at = defaultdict(dict), Counter(), 0
    while at < len(data):
        if data[at : at + 8] != MAGIC:
            sys.exit(f"{path}: no chunk at {at}")
        flags, kind, name_length = struct.unpack_from("<BcI", data, at + 8)
        name = data[at + 14 : at + 14 + name_length].decode()
        at += 14 + name_length
        types[kind.decode() + ("+rewrite" if flags & 2 else "")] += 1
        if kind == b"P":
            length, offset, _crc = struct.unpack_from("<QQI", data, at)
            at += 20
            # Chunks of data files hold whole pages; of other files, only the pages that lie whole in a chunk count.
            first = -(-offset // PAGE)
            for page in range(first, (offset + length) // PAGE):
                members[name][page] = at + page * PAGE - offset
            at += length
        elif kind == b"R":
            at += 4 + struct.unpack_from("<I", data, at)[0]
        elif kind == b"S":
            at += 8
    return data, members, types


def kind_of(name):
    """The member's kind: what its pages have in common."""
    base = name.rsplit("/", 1)[-1]
    if base.startswith(("undo", "ibdata", "ib_logfile")):
        return base.rstrip("0123456789")
    return base.rsplit(".", 1)[-1] if "." in base else base


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    old, old_members, _ = read_stream(sys.argv[1])
    new, new_members, types = read_stream(sys.argv[2])
    counts = defaultdict(Counter)
    for name, pages in new_members.items():
        former, count = old_members.get(name, {}), counts[kind_of(name)]
        for page, at in pages.items():
            bytes_ = new[at : at + PAGE]
            count["pages"] += 1
            if bytes_ == ZERO:
                count["zero"] += 1
            elif page not in former:
                count["added"] += 1
            else:
                before = old[former[page] : former[page] + PAGE]
                if before == ZERO:
                    count["added"] += 1
                elif before != bytes_:
                    count["changed"] += 1
    total = sum(counts.values(), Counter())
    print(f"{'kind':12}{'pages':>10}{'zero':>10}{'changed':>10}{'added':>10}{'new bytes':>11}")
    for kind, count in sorted(counts.items(), key=lambda item: -item[1]["pages"]) + [("total", total)]:
        share = (count["changed"] + count["added"]) / max(count["pages"], 1)
        print(
            f"{kind:12}{count['pages']:10}{count['zero']:10}{count['changed']:10}{count['added']:10}{share:11.2%}"
        )
    print("chunks of the new stream:", dict(types))


if __name__ == "__main__":
    main()
