#!/usr/bin/env python3
"""Restores streams from a haulout repository, by FORMAT.md alone.

It shares no code with the program: what it can read, anybody can read again, with the specification
and three libraries (pip install blake3 zstandard cryptography). It is written to be read, not to be
fast. Whatever it hands out was opened by its tag and compared with its hash.

    reference_reader.py REPOSITORY SNAPSHOT > stream
    reference_reader.py REPOSITORY check STREAMS

HAULOUT_PASSWORD_FILE names a file whose first line is the password. `check` compares all streams
with a file of lines `SNAPSHOT BLAKE3`. Numbers in brackets are sections of FORMAT.md.
"""

import functools, itertools, json, os, struct, sys
from collections import namedtuple
from pathlib import Path
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

DATA, META, FRAME, DIRECTORY, SNAPSHOT, MOVES, SEGMENT, BASE_STEPS_MAX = 1, 2, 1, 2, 1, 4, 13, 10
Place = namedtuple("Place", "pack entry")
Frame = namedtuple("Frame", "number kind codec at stored raw")
Slot = namedtuple("Slot", "frame at record length form bases hash")
Entry = namedtuple("Entry", "pack entry hash length")
Record = namedtuple("Record", "path incarnation fixed length levels entries")

class Refusal(Exception): """What is stored is damaged, missing or unknown."""

def require(condition, what):
    if not condition:
        raise Refusal(what)

class Bytes:
    """Takes numbers and strings from the front of bytes [0]."""
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(count <= len(self.data) - self.at, "a structure ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def varint(self):
        byte, value, shift = 0x80, 0, 0
        while byte & 0x80:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
        return value

    def zigzag(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def bytes(self):
        return self.take(self.varint())
    def end(self, what):
        require(self.at == len(self.data), f"{what} has bytes behind its end")

def derived(context, *parts):
    """A key and the commitment to it [11.1]."""
    stream = blake3(b"".join(parts), derive_key_context=f"haulout 1 2026 {context}").digest(64)
    return stream[:32], stream[32:]

def opened(suite, key, nonce, associated, sealed, what):
    """The text of a sealed text, if its tag is right [11.1]."""
    require(len(sealed) >= 16, f"{what} is shorter than a tag")
    if suite == 1:
        try:
            return AESGCMSIV(key).decrypt(nonce, sealed, associated)
        except Exception as error:
            raise Refusal(f"{what} does not open") from error
    text, tag = sealed[:-16], sealed[-16:]
    told = nonce + struct.pack("<Q", len(associated)) + associated + text
    require(blake3(told, key=key).digest(16) == tag, f"{what} does not open")
    return text

def unwrapped(data, repository, password):
    """The repository key from an object in `keys/`, if the password is right [11.3]."""
    require(data[-16:] == blake3(data[:-16]).digest(16), "a key object is damaged")
    require(data[:26] == b"HAULOKEY\1\0" + repository, "no key object of this repository")
    salt, secret = data[58:90], password
    if data[42] == 1:
        cost = zip(("memory_cost", "iterations", "lanes"), struct.unpack_from("<III", data, 46))
        secret = Argon2id(salt=salt, length=32, **dict(cost)).derive(password)
    key, commitment = derived("holder wrap key", b"\1", secret, salt)
    if data[43] != 1 or commitment != data[90:122]:
        return None
    return opened(1, key, bytes(12), data[:122], data[122:170], "a key object")

def read_directory(text):  # [5.3]
    head = Bytes(text)
    require(head.take(2) == b"\1\0", "a directory needs a newer reader")
    frames, entries, bases, packed = (head.varint() for _ in range(4))
    base_packs = [head.take(32) for _ in range(bases)]
    columns = Bytes(zstandard.ZstdDecompressor().decompress(head.take(packed)))
    kinds, codecs = columns.take(frames), columns.take(frames)
    require(not {8, 11}.intersection(codecs), "a codec is unknown to this reader")
    stored = [columns.varint() for _ in range(frames)]
    raw = [columns.varint() for _ in range(frames)]
    starts = itertools.accumulate(stored, initial=16)
    table = [Frame(*row) for row in zip(range(frames), kinds, codecs, starts, stored, raw)]
    frame_of = [table[at] for at in itertools.accumulate(columns.zigzag() for _ in range(entries))]
    lengths = [columns.varint() for _ in range(entries)]
    deltas = [entry for entry in range(entries) if frame_of[entry].kind == 1]
    records = dict(enumerate(lengths)) | {entry: columns.varint() for entry in deltas}
    def read_bases(of):
        before = 0
        for entry in of:
            place = Place(base_packs[columns.varint()], before + columns.zigzag() + 1)
            before = place.entry
            yield entry, place

    bases_of = {entry: [place] for entry, place in read_bases(deltas)}
    forms = [columns.number(1) if frame.codec & 8 else 0 for frame in frame_of]
    of_two = [entry for entry, form in enumerate(forms) if form & 32]
    require(all(entry in bases_of for entry in of_two), "a whole block has two bases")
    for entry, place in read_bases(of_two):
        bases_of[entry].append(place)
    columns.end("the columns of a directory")
    hashes = [None if entry in bases_of else head.take(16) for entry in range(entries)]
    head.end("a directory")
    slots, filled = [], [0] * frames
    for entry, frame in enumerate(frame_of):
        rest = (forms[entry] & ~32, bases_of.get(entry, []), hashes[entry])
        rest = (records[entry], lengths[entry], *rest)
        slots.append(Slot(frame, filled[frame.number], *rest))
        filled[frame.number] += records[entry]
    require(filled == raw, "a directory does not fill its frames")
    return slots

class Section:
    """A pack of one section, opened by its trailer [5.1]."""
    def __init__(self, repository, data):
        require(len(data) >= 132 and data[-8:] == b"HAULTAIL", "a pack has no trailer")
        self.repository, self.data, trailer = repository, data, data[-116:]
        run, self.salt, commitment = trailer[:16], trailer[16:48], trailer[48:80]
        sizes = struct.unpack("<IIIQIHBB", trailer[80:108])
        in_frames, in_directory, in_copies, whole, frames, version, self.kind, suite = sizes
        inside = 16 + in_frames + in_directory + in_copies + 116
        require(inside == whole == len(data), "a pack's sizes contradict each other")
        require(version == 1 and suite == repository.suite, "a pack needs a newer reader")
        secret = repository.run_secret(run, self.kind, data[-116 - in_copies : -116])
        self.key, own = derived("section key", bytes([suite]), secret, self.salt)
        require(own == commitment, "a pack is sealed with another key")
        directory = data[16 + in_frames : 16 + in_frames + in_directory]
        self.slots = read_directory(self.opened(DIRECTORY, frames, directory))

    def opened(self, kind, ordinal, sealed):
        nonce, head = struct.pack("<I8x", ordinal), bytes([1, self.kind, kind, 0])
        associated = head + self.repository.id + self.salt + nonce[:4]
        return opened(self.repository.suite, self.key, nonce, associated, sealed, "a frame")

    @functools.lru_cache(maxsize=32)
    def frame(self, frame):  # [5.2]
        text = self.opened(FRAME, frame.number, self.data[frame.at : frame.at + frame.stored])
        codec = frame.codec & 7
        text = text if codec == 2 else decompressed(codec, text, frame.raw)
        require(len(text) == frame.raw, "a frame has another length than its directory says")
        return text

def decompressed(codec, text, length, base=None):  # [5.2]
    if codec in (0, 1, 4):
        unpack = zstandard.ZstdDecompressor().decompress
        return unpack(text, max_output_size=length) if codec else text
    require(codec == 2 and base is not None, f"codec {codec} is unknown to this reader")
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    unpack = zstandard.ZstdDecompressor(dict_data=prefix).decompress
    return unpack(b"\x28\xb5\x2f\xfd" + text, max_output_size=length)

INFIMUM, SUPREMUM = 99, 112

def with_trailer(page):  # [5.2]
    """A page that was decoded without its trailer."""
    page, crc = page + page[20:24], 0xFFFFFFFF
    for bit in range(8 * len(page)):
        crc ^= 0 if bit % 8 else page[bit // 8]
        crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return page + struct.pack(">I", crc ^ 0xFFFFFFFF)

def has_normal_form(page):
    """Tells by what a normal form leaves alone whether a page has one."""
    slots, heap = struct.unpack_from(">HxxH", page, 38)
    texts = page[99:107] == b"infimum\0" and page[112:120] == b"supremum"
    return page[24:26] == b"\x45\xbf" and heap >> 15 and texts and 2 <= slots <= len(page) // 16

def walked(page, back):  # [5.4]
    """The page with the numbers of its records replaced: by differences, or back."""
    out, owners, (slots,) = bytearray(page), [INFIMUM], struct.unpack_from(">H", page, 38)
    directory, left, sign = len(page) - 8 - 2 * slots, len(page) // 5, 1 if back else -1
    step, heap = struct.unpack_from(">H", page, INFIMUM - 2)[0], 1
    at = (INFIMUM + step) % 0x10000
    while at != SUPREMUM:
        require(125 <= at <= directory and left, "the records of a page lead astray")
        left -= 1
        if out[at - 5] & 15:
            owners.append(at)
        numbers, other_step = struct.unpack_from(">HH", out, at - 4)
        other_heap, kind = numbers >> 3, numbers & 7
        new_heap = (other_heap + sign * (heap + 1)) % 0x2000
        new_step = (other_step + sign * step) % 0x10000
        struct.pack_into(">HH", out, at - 4, new_heap << 3 | kind, new_step)
        heap, step = (new_heap, new_step) if back else (other_heap, other_step)
        at = (at + step) % 0x10000
    owners.append(SUPREMUM)
    require(len(owners) == slots, "the directory of a page has another length than its records say")
    for number, owner in enumerate(owners):
        place = len(page) - 10 - 2 * number
        slot = struct.unpack_from(">H", out, place)[0] + sign * owner
        struct.pack_into(">H", out, place, slot % 0x10000)
    return bytes(out)

def spread(page):  # [5.4]
    """The normal form of a page that is in columns."""
    out, places, (slots, count) = bytearray(page), [], struct.unpack_from(">H14xH", page, 38)
    step, end = struct.unpack_from(">H", page, INFIMUM - 2)[0], len(page) - 8 - 2 * slots
    require(120 + 5 * count <= end, "a page in columns has no room for its records")
    at = (INFIMUM + step) % 0x10000
    for number in range(count):
        require(125 <= at <= end, "the records of a page lead astray")
        header = page[120 + number : 120 + 5 * count : count]
        out[at - 5 : at] = header
        places.append(at)
        step = (step + int.from_bytes(header[3:], "big")) % 0x10000
        at = (at + step) % 0x10000
    require(at == SUPREMUM, "a page in columns has another number of records")
    starts = [120, *sorted(places)]
    pieces = [(after - 5 - start, start) for start, after in zip(starts, starts[1:])]
    require(min(pieces, default=(0,))[0] >= 0, "the headers of a page overlap")
    rest, order = starts[-1], []
    if pieces and rest + pieces[-1][0] <= end:
        pieces.append((pieces[-1][0], rest))
        rest += pieces[-1][0]
    for length, group in itertools.groupby(sorted(pieces), lambda piece: piece[0]):
        starts = [start for _, start in group]
        order += [start + at for at in range(length) for start in starts]
    for place, byte in zip([*order, *range(rest, end)], page[120 + 5 * count : end]):
        out[place] = byte
    return bytes(out)

def in_form(block, form, back=False):
    """A block in a form, or back; pages that have no normal form stay as they are [5.2]."""
    if form & 128:
        return with_trailer(in_form(block + bytes(8), form & 127, back)[:-8])
    if form == 0:
        return block
    require(form & ~64 in range(12, 17) and (back or form < 64), "a form is unknown")
    size = 1 << (form & ~64)
    pages = (block[at : at + size] for at in range(0, len(block), size))
    fits = lambda page: len(page) == size and has_normal_form(page)
    in_rows = lambda page: spread(page) if form & 64 else page
    return b"".join(walked(in_rows(page), back) if fits(page) else page for page in pages)

def read_places(page, count):
    recent = []  # Packs, the last one first, each with the entry that follows.
    for _ in range(count):
        rank = page.varint()
        require(rank <= len(recent), "a place names a pack by a rank that none has")
        recent.insert(0, recent.pop(rank - 1) if rank else [page.varint(), 0])
        recent[0][1] += page.zigzag() + 1
        yield recent[0][0], recent[0][1] - 1

def read_map_page(data, fixed):  # [7.1]
    page = Bytes(data)
    count, flags = page.varint(), page.number(1)
    require(flags < 2 and (flags == 1) == (fixed == 0), "a map page has unknown flags")
    kinds = page.take(count)
    require(all(kind & ~16 <= 10 and kind != 17 for kind in kinds), "a block has an unknown kind")
    lengths = [page.varint() if flags else fixed for _ in range(count)]
    places = read_places(page, sum(kind > 0 for kind in kinds))
    found = [next(places) if kind else (None, None) for kind in kinds]
    # The bases stand in the directories too: a reader needs them only there.
    list(read_places(page, sum(kind > 1 for kind in kinds)))
    list(read_places(page, sum(kind > 16 for kind in kinds)))
    hashes = [page.take(16) if kind else None for kind in kinds]
    page.end("a map page")
    return [Entry(*place, *rest) for place, *rest in zip(found, hashes, lengths)]

def read_record(data):  # [7.2]
    path, incarnation, flags, block = data.bytes(), data.varint(), data.number(1), data.number(1)
    require(flags < 8, "a member has unknown flags")
    fixed = 0 if flags & 4 else 1 << block
    length, *_ = (data.varint() for _ in range(8))
    if flags & 2:
        return Record(path, incarnation, fixed, length, 0, read_map_page(data.bytes(), fixed))
    levels, _ = data.number(1), data.varint()
    return Record(path, incarnation, fixed, length, levels, read_map_page(data.bytes(), 0))

def read_pack_names(data, count):  # [6]
    numbers = lambda: (data.varint(), data.varint(), data.varint(), data.number(1))
    return [(data.take(32), numbers())[0] for _ in range(count)]

class Snapshot:  # [8]
    def __init__(self, repository, file):
        self.repository, self.id, data = repository, file.name[11:], file.read_bytes()
        require(blake3(data).hexdigest() == self.id, "a snapshot is not what its name says")
        context = bytes.fromhex(file.parent.name) + struct.pack("<Q", int(file.name[:10]))
        text = Bytes(repository.opened_object(SNAPSHOT, context, data))
        self.about = json.loads(text.bytes())
        self.inner = [read_record(text) for _ in range(text.varint())]
        self.table_levels, self.table = text.number(1), None
        if self.table_levels:
            _, self.table = text.varint(), read_map_page(text.bytes(), 0)[0]
        total, levels = text.varint(), text.varint()
        newest = read_pack_names(text, text.varint())
        nodes = [[text.take(52) for _ in range(text.varint())] for _ in range(levels)]
        text.end("a snapshot")
        above = [self.node(node, at) for at in reversed(range(levels)) for node in nodes[at]]
        self.packs = sum(above, []) + newest
        require(len(self.packs) == total, "a pack table does not add up")

    def node(self, reference, level):
        """The packs below a filled node of the pack table [6]."""
        place = Place(reference[:32], int.from_bytes(reference[32:36], "little"))
        node = Bytes(self.repository.block(place, reference[36:]))
        below = (self.node(node.take(52), level - 1) for _ in range(256))
        return sum(below, []) if level else read_pack_names(node, 256)

    def stored(self, entry):
        return self.repository.block(Place(self.packs[entry.pack], entry.entry), entry.hash)

    def blocks(self, record):
        """The bytes of a member, block by block [7.1]."""
        left = record.length
        def below(entries, level):
            nonlocal left
            for entry in entries:
                if level:
                    page = read_map_page(self.stored(entry), record.fixed if level == 1 else 0)
                    yield from below(page, level - 1)
                    continue
                # In a member of fixed blocks the very last one may be short.
                length = min(entry.length, left)
                block = self.stored(entry) if entry.hash else bytes(length)
                require(len(block) == length, "a block has another length than its map says")
                left -= length
                yield block

        yield from below(record.entries, record.levels)
        require(left == 0, "a map does not add up to its member")

    @functools.cached_property
    def members(self):
        """All members, by path and incarnation [7.3]."""
        def records(root, level):
            page = Bytes(self.stored(root))
            require(page.number(1) == (level > 1), "a table page is of another kind")
            for _ in range(page.varint()):
                if level > 1:
                    _ = page.bytes(), page.varint()
                    yield from records(read_map_page(page.bytes(), 0)[0], level - 1)
                else:
                    yield read_record(Bytes(page.bytes()))

        found = records(self.table, self.table_levels) if self.table else ()
        return {(record.path, record.incarnation): record for record in found}

    def stream(self):
        """The stream as its producer wrote it, in pieces."""
        require(self.about["kind"] != "checkpoint", "a checkpoint has no stream")
        script = [one for one in self.inner if one.path == b"script" and one.length]
        if not script:
            return self.blocks(self.members[b"stream", 0])
        return Replay(self, Bytes(b"".join(self.blocks(script[0])))).stream()

class Open:
    """A member of which more may come."""
    def __init__(self, snapshot, path, incarnation):
        self.path, self.flags, self.offset, self.waiting = path, 0, 0, b""
        record = snapshot.members.get((path, incarnation))
        self.blocks = snapshot.blocks(record) if record else iter(())

    def take(self, count):
        while count:
            self.waiting = self.waiting or next(self.blocks, b"")
            require(self.waiting, "a member is shorter than the script says")
            piece, self.waiting = self.waiting[:count], self.waiting[count:]
            count -= len(piece)
            yield piece

class Replay:
    """Writes the stream again that the script tells of."""
    def __init__(self, snapshot, script):
        self.snapshot, self.script, self.number = snapshot, script, script.varint
        self.slots, self.vacant, self.slot, self.path = [], [], None, b""
        self.length, self.cut, self.finished = 0, None, None

    def stream(self):
        version, written = self.script.number(1), 0
        require(version in (1, 2), "the script needs a newer reader")
        next_op = self.next_op if version == 1 else self.next_op_of_container
        while self.finished is None:
            for piece in next_op(self.script.number(1)):
                written += len(piece)
                yield piece
        require(self.finished == written, "the script makes a stream of another length")
        self.script.end("the script")

    def next_path(self):
        self.path = self.path[: self.number()] + self.script.bytes()
        return self.path

    def target(self, op):
        kind = op >> 3 & 3
        if kind == 1:
            self.slot = self.number()
        elif kind > 1:
            incarnation = self.number() if kind == 3 else 0
            member = Open(self.snapshot, self.next_path(), incarnation)
            self.slot = self.vacant.pop() if self.vacant else len(self.slots)
            self.slots[self.slot : self.slot + 1] = [member]
        require(self.slot not in (None, *self.vacant), "the script names a member that is not open")
        return self.slots[self.slot]

    def flags(self, op, default=0):
        return self.script.number(1) if op & 0x40 else default

    def payload(self, member, op):
        member.flags = self.flags(op, member.flags)
        offset, count, sparse = self.number() if op & 0x20 else member.offset, b"", b""
        if op & 7:
            numbers = [self.number() for _ in range(2 * self.number())]
            length, advance = sum(numbers[1::2]), sum(numbers)
            count = struct.pack("<I", len(numbers) // 2)
            sparse = struct.pack(f"<{len(numbers)}I", *numbers)
        else:
            code = self.number()
            self.length = length = advance = code - 1 if code else self.length
        member.offset = offset + advance
        yield head(b"S" if op & 7 else b"P", member.flags, member.path) + count
        yield struct.pack("<QQ", length, offset) + self.script.take(4) + sparse
        yield from member.take(length if self.cut is None else self.cut)
        self.cut = None
        if op & 0x80:
            yield self.end(member, 0)

    def end(self, member, flags):
        self.vacant.append(self.slot)
        return head(b"E", flags, member.path)

    def next_op(self, op):
        """The pieces of the stream that an op stands for."""
        kind = op & 7
        if kind < 2:
            yield from self.payload(self.target(op), op)
        elif kind == 2:
            yield self.end(self.target(op), self.flags(op))
        elif kind == 3:
            member, flags = self.target(op), self.flags(op)
            member.offset = self.number()
            yield head(b"S", flags, member.path) + struct.pack("<Q", member.offset)
        elif kind == 4:
            old = head(b"R", self.flags(op), self.next_path())
            yield old + struct.pack("<I", len(self.next_path())) + self.path
        elif kind == 5:
            yield head(b"D", self.flags(op), self.next_path())
        elif kind == 6:
            yield self.script.bytes()
        elif op == 0x0F:
            self.cut = self.number()
        else:
            require(op == 7 and self.cut is None, "an op of the script is unknown to this reader")
            self.finished = self.number()

    def next_op_of_container(self, op):  # [13]
        require(op < 5, "an op of the script is unknown to this reader")
        if op == 0:
            yield self.script.bytes()
        elif op == 1:
            incarnation = self.number()
            self.slots = [Open(self.snapshot, self.next_path(), incarnation)]
        elif op == 2:
            yield from self.slots[0].take(self.number())
        elif op == 4:
            self.finished = self.number()

def head(kind, flags, path):  # [12]
    return b"XBSTCK01" + bytes([flags]) + kind + struct.pack("<I", len(path)) + path

class Repository:
    """A directory that holds one."""
    def __init__(self, folder, password):
        self.folder = Path(folder)
        config = (self.folder / "config").read_bytes()
        require(len(config) == 137 and config[:8] == b"HAULOUT1", "config is none")
        require(config[89:105] == blake3(config[:89]).digest(16), "config is damaged")
        version, self.suite, features = struct.unpack_from("<HBxQ", config, 8)
        require((version, features & ~29) == (1, 0) and self.suite < 2, "a newer reader is needed")
        self.id, key = config[28:44], config[57:89]
        if self.suite == 1:
            holders = [file.read_bytes() for file in (self.folder / "keys").iterdir()]
            key = next(filter(None, (unwrapped(one, self.id, password) for one in holders)), None)
            require(key is not None, "HAULOUT_PASSWORD_FILE opens no key")
        self.key_for = functools.cache(lambda use: derived(f"{use} key", key)[0])
        tag = blake3(self.id + config[:105], key=self.key_for("config")).digest()
        require(tag == config[105:], "config was changed")
        self.section = functools.lru_cache(maxsize=16)(self.load_section)

    def opened_object(self, kind, context, data):  # [11.4]
        require(data[:12] == b"HAULOBJ1\1\0" + bytes([kind, self.suite]), "no such sealed object")
        use = self.key_for("snapshot" if kind == SNAPSHOT else "small object")
        salt, suite = data[12:44], bytes([self.suite])
        key, commitment = derived("sealed object key", suite, use, salt, bytes([kind]))
        require(commitment == data[44:76], "an object is sealed with another key")
        associated = data[:44] + self.id + context
        return opened(self.suite, key, bytes(12), associated, data[76:], "a sealed object")

    def run_secret(self, run, kind, copies):
        """From `runs/`, or from the copies in the pack itself [11.2, 5.1]."""
        try:
            data = (self.folder / "runs" / run.hex()).read_bytes()
            if data[-16:] == blake3(data[:-16]).digest(16):
                copies = data[42:-16]
        except OSError:
            pass  # The pack has its own.
        copies = Bytes(copies)
        take, number = copies.take, copies.number
        body = {tuple(take(2)): take(number(2)) for _ in range(number(1))}[kind, 1]
        wrap = self.key_for("run meta wrap" if kind == META else "run data wrap")
        associated = self.id + run + bytes([kind, 1])
        return opened(1, wrap, body[:12], associated, body[12:], "a run's secret")

    def segments(self):
        """The bytes of all open binary logs, in the order of their names [10.12]."""
        for file in sorted((self.folder / "segments").glob("*/*/*")):
            source, of, start = file.parts[-3:]
            context = bytes.fromhex(source + of) + struct.pack("<Q", int(start))
            text = Bytes(self.opened_object(SEGMENT, context, file.read_bytes()))
            head, record, salt = json.loads(text.bytes()), text.bytes(), text.take(32)
            secret = self.run_secret(record[26:42], DATA, record[42:-16])
            suite = bytes([self.suite])
            key, commitment = derived("section key", suite, secret, salt)
            require(commitment == text.take(32), "a segment is sealed with another key")
            sealed, bounds = text.data[text.at :], bytes([1, DATA, FRAME, 0]) + self.id + salt
            frame = opened(self.suite, key, bytes(12), bounds + bytes(4), sealed, "a segment")
            data = decompressed(1, frame, head["end"] - head["start"])
            require(blake3(data).hexdigest() == head["digest"], "a segment is not what it says")
            yield data

    def load_section(self, pack, folder):
        data = (self.folder / folder / pack.hex()[:2] / pack.hex()).read_bytes()
        require(blake3(data).digest() == pack, f"pack {pack.hex()} is not what its name says")
        return Section(self, data)

    def moved(self, place):
        """Other places of an entry [9]."""
        for file in sorted((self.folder / "moves").glob(f"{place.pack.hex()}-*")):
            record = Bytes(self.opened_object(MOVES, place.pack, file.read_bytes()))
            packs, old = [record.take(32) for _ in range(record.varint())], 0
            for _ in range(record.varint()):
                old += record.varint()
                new = Place(packs[record.varint()], record.varint())
                if old == place.entry:
                    yield new

    def block(self, place, digest, steps=0):
        """A block's bytes: from its pack, the pack's twin, or wherever it was moved [5, 9]."""
        require(steps < BASE_STEPS_MAX, "bases follow each other too long")
        failure = None
        for folder in "packs", "twins":
            try:
                return self.read_block(self.section(place.pack, folder), place, digest, steps)
            except (OSError, Refusal, zstandard.ZstdError) as error:
                failure = failure or error
        for other in self.moved(place):
            try:
                return self.block(other, digest, steps + 1)
            except Refusal:
                pass  # There may be another copy.
        raise Refusal(f"a block of pack {place.pack.hex()} is lost: {failure}")

    def read_block(self, section, place, digest, steps):
        slot = section.slots[place.entry]
        text = section.frame(slot.frame)[slot.at : slot.at + slot.record]
        if slot.frame.kind == 1:
            # The first base comes last.
            bases = [self.block(base, None, steps + 1) for base in reversed(slot.bases)]
            prefix = b"".join(in_form(base, slot.form & 127) for base in bases)
            text = decompressed(2, text, slot.length, prefix)
        text = in_form(text, slot.form, back=True)
        require(len(text) == slot.length, "a block has another length than its directory says")
        # A base that is itself a delta is known by what rests on it.
        found = blake3(text, key=self.key_for("block hash")).digest(16)
        require((digest or slot.hash or found) == found, "a block does not match its hash")
        return text

    def snapshot(self, wanted):  # [2]
        [name] = (self.folder / "snapshots").glob(f"*/*-{wanted}")
        return Snapshot(self, name)

def check(repository, expected):
    """Compares the BLAKE3 of each stream with what it should be."""
    wanted = [line.split() for line in Path(expected).read_text().splitlines()]
    for name, digest in wanted:
        stream = repository.segments() if name == "segments" else repository.snapshot(name).stream()
        stream = blake3(b"".join(stream))
        require(stream.hexdigest() == digest, f"the stream of {name} is not what went in")
    print(f"{repository.folder}: {len(wanted)} streams are right")

def main(folder, what, expected=None):
    file = os.environ.get("HAULOUT_PASSWORD_FILE")
    repository = Repository(folder, Path(file).read_bytes().split(b"\n")[0] if file else b"")
    if what == "check":
        return check(repository, expected)
    return sys.stdout.buffer.writelines(repository.snapshot(what).stream())

if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Refusal as refusal:
        sys.exit(f"error: {refusal}")
