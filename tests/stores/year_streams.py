"""Invented servers whose streams are as real ones: for tests/stores/year.

A `Server` has tables of InnoDB pages in the layout full_crc32, and gives full and incremental
streams of mariabackup that pass every check, as the one of tests/suite/support/mod.rs does. A `Dump` has
rows, and gives what mariadb-dump writes.
"""

import random, struct, zlib

PAGE = 16384
FRAME = 640 * PAGE

def steps(bits):
    """What becomes of each number in the register of CRC-32C after so many bits of zeros."""
    table = [0] * (1 << 16)
    for bit in range(16):
        crc = 1 << bit
        for _ in range(bits):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table[1 << bit] = crc
    for number in range(1, 1 << 16):
        lowest = number & -number
        table[number] = table[lowest] ^ table[number ^ lowest]
    return table

LOW, HIGH, BYTE = steps(32), steps(16), steps(8)[:256]

def crc_32c(data):
    """The checksum of pages and of redo logs, four bytes at a time, on a little-endian machine."""
    crc, low, high, words = 0xFFFFFFFF, LOW, HIGH, len(data) // 4 * 4
    for word in memoryview(data)[:words].cast("I"):
        word ^= crc
        crc = low[word & 0xFFFF] ^ high[word >> 16]
    for byte in data[words:]:
        crc = crc >> 8 ^ BYTE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF

def sealed(page):
    """Makes the end of a page fit to what is in it."""
    page[-8:-4] = page[20:24]
    page[-4:] = struct.pack(">I", crc_32c(memoryview(page)[:-4]))
    return page

def frames(path, data, frame=FRAME):
    """A file as mbstream has it."""
    name = path.encode()
    head = lambda kind: b"XBSTCK01\0" + kind + struct.pack("<I", len(name)) + name
    for at in range(0, len(data), frame):
        part = data[at:at + frame]
        yield head(b"P") + struct.pack("<QQI", len(part), at, zlib.crc32(part)) + part
    yield head(b"E")

class Server:
    """Tables, of which a part changes each night."""

    def __init__(self, seed, pages, changed):
        self.random, self.lsn, self.changed = random.Random(seed), 1000, changed
        names = ["ibdata1", "undo001", "shop/orders.ibd", "shop/users.ibd"]
        self.tables = [(name, space, []) for space, name in enumerate(names)]
        for table in self.tables:
            while len(table[2]) < pages // len(names):
                self.add_page(table)

    def add_page(self, table):
        """Appends a page, full of digits or of zeros."""
        _, space, pages = table
        number, page = len(pages), bytearray(PAGE)
        pages.append(page)
        if number % 10 == 9:
            return
        self.lsn += 10
        page[4:8] = struct.pack(">I", number)
        page[16:26] = struct.pack(">QH", self.lsn, 17855 if number else 8)
        page[34:38] = struct.pack(">I", space)
        if number == 0:
            page[38:42], page[54:58] = page[34:38], struct.pack(">I", 0x15)
        page[100:12100] = b"".join(b"%08d" % self.random.randrange(10**8) for _ in range(1500))
        sealed(page)

    def night(self):
        """Writes a row of 120 bytes to some pages, and makes a table larger at times."""
        pages = [page for _, _, pages in self.tables for page in pages[1:] if any(page[4:8])]
        for _ in range(self.random.randrange(2 * int(len(pages) * self.changed) + 1)):
            # Half of them anywhere, half of them more often at the beginning.
            at = self.random.random() ** self.random.choice([1, 2])
            page = pages[int(at * len(pages))]
            self.lsn += 10
            page[16:24] = struct.pack(">Q", self.lsn)
            at = 200 + self.random.randrange(11000)
            page[at:at + 120] = self.random.randbytes(120)
            sealed(page)
        if self.random.randrange(4) == 0:
            self.add_page(self.random.choice(self.tables[2:]))

    def stream(self):
        """A full backup."""
        files = [(name, b"".join(pages)) for name, _, pages in self.tables]
        return self.described("full-backuped", 0, files)

    def increment(self, since):
        """The pages that changed after an LSN."""
        files = []
        for name, space, pages in self.tables:
            meta = f"page_size = {PAGE}\nzip_size = 0 \nspace_id = {space}\n"
            lsns = [struct.unpack(">Q", page[16:24])[0] for page in pages]
            changed = [number for number, lsn in enumerate(lsns) if lsn > since]
            head = b"XTRA" + struct.pack(f">{len(changed) + 1}I", *changed, 0xFFFFFFFF)
            parts = [head.ljust(PAGE, b"\0")] + [pages[number] for number in changed]
            files += [(name + ".meta", meta.encode()), (name + ".delta", b"".join(parts))]
        return self.described("incremental", since, files)

    def described(self, kind, since, files):
        """A stream: files, and what mariabackup says about them."""
        until, last = self.lsn - 5, self.lsn + 700
        definition = bytearray(100)
        definition[:4], definition[10] = b"\xfe\1\n\f", 100
        tables = [name[:-4] for name, _, _ in self.tables if name.endswith(".ibd")]
        checkpoints = [f"backup_type = {kind}", f"from_lsn = {since}", f"to_lsn = {until}",
            f"last_lsn = {last}", "recover_binlog_info = 0"]
        config = ["[mysqld]", "innodb_checksum_algorithm=full_crc32",
            "innodb_data_file_path=ibdata1:12M:autoextend", "innodb_log_file_size=1000000",
            "innodb_page_size=16384", "innodb_undo_directory=./", "innodb_undo_tablespaces=1"]
        version = "10.11.19-MariaDB"
        info = ["uuid = 1", "name = ", "tool_name = mariabackup", "tool_command = --backup",
            f"tool_version = {version}", f"ibbackup_version = {version}",
            f"server_version = {version}-log", "start_time = 2027-01-01 03:00:00",
            "end_time = 2027-01-01 03:00:09", "lock_time = 0",
            "binlog_pos = filename 'bin.000001', position '330', GTID of the last change '0-1-7'",
            f"innodb_from_lsn = {since}", f"innodb_to_lsn = {until}", "partial = N",
            f"incremental = {'Y' if since else 'N'}", "format = mbstream", "compressed = N"]
        texts = {
            "xtrabackup_binlog_info": ["bin.000001\t330\t0-1-7"],
            "xtrabackup_checkpoints": checkpoints,
            "backup-my.cnf": config,
            "xtrabackup_info": info,
        }
        files += [("shop/db.opt", b"default-character-set=utf8mb4\n")]
        files += [("mysql/user.frm", b"TYPE=VIEW\nquery=select 1\n")]
        files += [(table + ".frm", bytes(definition)) for table in tables]
        files += [("ib_logfile0", redo_log(until, last))]
        files += [(name, "\n".join(lines + [""]).encode()) for name, lines in texts.items()]
        return b"".join(part for name, data in files for part in frames(name, data))

def redo_log(first, last):
    """A log of one record."""
    log = bytearray(12288)
    log[:4], log[8:16], log[16:31] = b"Phys", struct.pack(">Q", first), b"Backup 10.11.19"
    log[508:512] = struct.pack(">I", crc_32c(log[:508]))
    log[4096:4112] = struct.pack(">QQ", first, last)
    log[4156:4160] = struct.pack(">I", crc_32c(log[4096:4156]))
    log += bytes(n & 255 for n in range(first, last))
    log[12288:12291] = b"\xb1\7\1"
    log[12291:12295] = struct.pack(">I", crc_32c(log[12288:12290]))
    return bytes(log)

class Dump:
    """Rows of a table, of which a part changes each night."""

    def __init__(self, seed, rows, changed):
        self.random, self.changed = random.Random(seed), changed
        self.rows = [self.text() for _ in range(rows)]

    def text(self):
        return self.random.randbytes(60).hex()

    def night(self):
        """Changes rows, and appends some."""
        for _ in range(self.random.randrange(2 * int(len(self.rows) * self.changed) + 1)):
            self.rows[self.random.randrange(len(self.rows))] = self.text()
        self.rows += [self.text() for _ in range(self.random.randrange(5))]

    def stream(self):
        rows = ",\n".join(f"({n},'{text}')" for n, text in enumerate(self.rows))
        return (
            "-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)\n"
            "--\n-- Host: localhost    Database: wiki\n"
            "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n"
            "USE `wiki`;\nDROP TABLE IF EXISTS `page`;\n"
            "CREATE TABLE `page` (\n  `id` int(11) NOT NULL,\n  `text` text,\n"
            "  PRIMARY KEY (`id`)\n);\n"
            f"INSERT INTO `page` VALUES\n{rows};\n"
            "/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n-- Dump completed on 2027-01-01  3:00:00\n"
        ).encode()
