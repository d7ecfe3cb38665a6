#!/usr/bin/env python3
"""What must the second of two mbstream files cost at least, stored page by page?

usage: floor.py OLD.mbs NEW.mbs

Prints the bytes of the changed 16 KiB pages: each as a zstd 1 frame with its former self as the prefix if it has one,
whole at zstd 1 if not (eight pages to a frame, as haulout groups them). It is a yardstick that knows nothing of haulout:
a better kind of delta, or a page that is found at another place, may stay below it.
"""

import ctypes
import ctypes.util
import sys

from pagediff import PAGE, ZERO, read_stream

LEVEL = 1
PAGES_PER_FRAME = 8

zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
for name in ("ZSTD_createCCtx", "ZSTD_compressBound", "ZSTD_compressCCtx", "ZSTD_compress_usingDict"):
    getattr(zstd, name).restype = ctypes.c_void_p if name == "ZSTD_createCCtx" else ctypes.c_size_t
context = ctypes.c_void_p(zstd.ZSTD_createCCtx())


def size_of(data, base=None):
    """The bytes of a zstd frame of data, with base as its prefix."""
    bound = zstd.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    room = ctypes.create_string_buffer(bound)
    to, end, size = room, ctypes.c_size_t(bound), ctypes.c_size_t(len(data))
    if base is None:
        return min(len(data), zstd.ZSTD_compressCCtx(context, to, end, data, size, LEVEL))
    return zstd.ZSTD_compress_usingDict(context, to, end, data, size, base, ctypes.c_size_t(len(base)), LEVEL)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    old, old_members, _ = read_stream(sys.argv[1])
    new, new_members, _ = read_stream(sys.argv[2])
    deltas = whole = pages_bytes = 0
    frame = bytearray()
    for name, pages in new_members.items():
        former = old_members.get(name, {})
        for index, at in pages.items():
            page = new[at : at + PAGE]
            pages_bytes += PAGE
            base = old[former[index] : former[index] + PAGE] if index in former else None
            if page in (base, ZERO):
                continue
            if base is not None and base != ZERO:
                deltas += size_of(page, base)
                continue
            frame += page
            if len(frame) == PAGES_PER_FRAME * PAGE:
                whole += size_of(bytes(frame))
                frame.clear()
    if frame:
        whole += size_of(bytes(frame))
    print(deltas + whole)
    print(f"deltas {deltas}, whole {whole}; not looked at: {len(new) - pages_bytes} bytes outside of pages", file=sys.stderr)


if __name__ == "__main__":
    main()
