#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments of tally in Python: reads those of any program. tally_writer.py makes them.

Written from include/tally/segment.h and histogram.h; needs Python 3.8 or newer and nothing else.

    ./tally_segment.py read /run/tally/seg         all series, as OpenMetrics text
    ./tally_segment.py count DIR --threads 4       a demonstration that counts

    import tally_segment

    segments, errors = tally_segment.read_dir("/run/tally/seg")
    for (program, uid, name, labels), series in tally_segment.sum_up(segments).items():
        print(program, name, labels, series.shown(series.value))
"""
import argparse
import collections
import errno
import fcntl
import itertools
import json
import os
import re
import stat
import struct
import sys
import threading
import time
from decimal import Decimal

# --- the layout of segment.h -------------------------------------------------------------------

MAGIC = b"TALLYSEG"
ROW_HEADER, ROW_ALIGN = 32, 64
NAME_MAX, SLOT_TEXT, SCALE_MAX = 255, 120, 18
COUNTER, GAUGE, GAUGE_DOUBLE, HISTOGRAM, INFO = 1, 2, 3, 4, 5
TYPE_NAMES = {COUNTER: "counter", GAUGE: "gauge", GAUGE_DOUBLE: "gauge", HISTOGRAM: "histogram",
              INFO: "info"}
FLAG_PEAK = 1
SLOT_FREE, SLOT_WRITING, SLOT_READY = 0, 1, 2
BETWEEN, END = b"\x1f", b"\x1e"
MASK = (1 << 64) - 1

HEADER = struct.Struct("=8s2I16sQ" + "12I" + "I" + "3I" + "2IQ" + "QII" + "2I" + "48x")
HEADER_NAMES = ("magic version header_size id birth_ns desc_off ndesc strings_off strings_len "
                "rows_off row_size rows_max rows generation starts program object desc_size "
                "cgroup cgroup_ns inserts pid pid_ns start_ticks unloaded unloaded_pid "
                "unloaded_generation tables_off tables_len")
Header = collections.namedtuple("Header", HEADER_NAMES)
HEADER_1 = struct.Struct("=8s2I16sQ13I36x")
DESC = struct.Struct("=3IBbH3IbBBx2I8x")
Desc = collections.namedtuple("Desc", "name unit help type scale flags cell cells labels lo hi bits "
                                      "table slots")
DESC_1 = struct.Struct("=3IBbH2I8x")
SLOT = struct.Struct("=2I%ds" % SLOT_TEXT)
AT_ROWS, AT_GENERATION, AT_INSERTS = 68, 72, 100
assert (HEADER.size, HEADER_1.size, DESC.size, DESC_1.size, SLOT.size) == (192, 128, 48, 32, 128)

F_OFD_SETLK = getattr(fcntl, "F_OFD_SETLK", 37)
FLOCK = struct.Struct("@hhqqi4x")

# What a reader takes: far more than any good segment has, little enough for a hostile one.
DESCS_MAX, TEXT_MAX, BYTES_MAX = 65536, 8 << 20, 256 << 20


class SegmentError(Exception):
    """A file that is no segment, or a damaged one; or a metric that can't be. The text says why."""


def lock_file(fd, kind):
    """A lock of the whole file on its open file description. False: somebody's lock is in the way."""
    try:
        fcntl.fcntl(fd, F_OFD_SETLK, FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0))
    except OSError as e:
        if e.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


# --- histogram.h -------------------------------------------------------------------------------

def bounds_upto(power, bits):
    """How many bounds of buckets there are from 0 up to and including 2^power; power -1: none."""
    if power < 0:
        return 0
    return 1 << power if power < bits else (power - bits + 1) << bits


def bucket_count(lo, hi, bits):
    return bounds_upto(hi, bits) - bounds_upto(lo, bits) + 2


def bucket_of(value, lo, hi, bits):
    if value <= (0 if lo < 0 else 1 << lo):
        return 0
    if value > 1 << hi:
        return bucket_count(lo, hi, bits) - 1
    shift = ((value - 1) | 1 << bits).bit_length() - 1 - bits
    return 1 + (shift << bits) + ((value - 1) >> shift) - bounds_upto(lo, bits)


def bucket_bound(bucket, lo, hi, bits):
    """The greatest value of a bucket; None for the last one, which has no end."""
    if bucket >= bucket_count(lo, hi, bits) - 1:
        return None
    if bucket == 0:
        return 0 if lo < 0 else 1 << lo
    place = bucket - 1 + bounds_upto(lo, bits)
    power = place >> bits
    if power == 0:
        return place + 1
    return ((1 << bits) + (place & ((1 << bits) - 1)) + 1) << (power - 1)


# --- reading -----------------------------------------------------------------------------------

class Series:
    """One series of one segment.

    labels: tuple of (name, value). value: an int of the cell's own unit, a float for a double, 1 for
    info; of a histogram the number of values, with `sum` and `buckets` beside it, the counts of each
    bucket (not cumulative), whose bounds are in `bounds` (None: infinity). Shown value = value x
    10^scale; counts of buckets have no scale.
    """

    def __init__(self, desc, name, unit, help_text, labels):
        self.name, self.unit, self.help, self.labels = name, unit, help_text, labels
        self.type, self.scale, self.peak = desc.type, desc.scale, bool(desc.flags & FLAG_PEAK)
        self.value, self.sum, self.buckets, self.bounds = 0, 0, (), ()

    def shown(self, value):
        """An int of this series as it is shown, exactly."""
        return value if self.scale == 0 else Decimal(value).scaleb(self.scale)


class Segment:
    """What a file held when it was read: `header`, `program`, `object`, `cgroup`, `uid`, `living`,
    `series`, and `refused`, the values that were the first to find no slot, by metric."""

    def __init__(self, path):
        # no link is followed, and no FIFO is waited for
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags)
        except OSError as e:
            raise SegmentError("%s: %s" % (path, e.strerror)) from e
        self.path = path
        try:
            st = os.fstat(self._fd)
            if not stat.S_ISREG(st.st_mode):
                raise self._bad("not a regular file")
            self.uid = st.st_uid
            # The lock is kept until all is read, so that what a dead file holds is final.
            self.living = not lock_file(self._fd, fcntl.F_RDLCK)
            self._read()
        except OSError as e:
            raise self._bad(e.strerror) from e
        finally:
            os.close(self._fd)

    def _bad(self, why):
        return SegmentError("%s: %s" % (self.path, why))

    # pread, not mmap: a mapped file that is cut short meanwhile kills its reader with SIGBUS.
    def _bytes(self, at, size, what):
        parts = []
        while size > 0:
            part = os.pread(self._fd, size, at)
            if not part:
                raise self._bad("ends within its %s, at byte %d" % (what, at))
            parts.append(part)
            at, size = at + len(part), size - len(part)
        return b"".join(parts)

    def _read(self):
        start = self._bytes(0, 16, "header")
        version, size = struct.unpack_from("=2I", start, 8)
        if start[:8] != MAGIC:
            raise self._bad("no segment: it does not begin with %s" % MAGIC.decode())
        if (version, size) == (2, HEADER.size):
            h = Header._make(HEADER.unpack(self._bytes(0, size, "header")))
            desc = DESC
        elif (version, size) == (1, HEADER_1.size):
            h = Header._make(HEADER_1.unpack(self._bytes(0, size, "header")) + (0,) * 11)
            # there were no tables: they end where the strings do
            h = h._replace(tables_off=h.strings_off + h.strings_len)
            desc = DESC_1
        else:
            raise self._bad("version %d with a header of %d bytes: this reads versions 1 and 2" %
                            (version, size))
        self.header = h
        if h.desc_size != desc.size:
            raise self._bad("descriptors of %d bytes, not %d" % (h.desc_size, desc.size))
        self._check_sizes(size)
        self._strings = self._bytes(h.strings_off, h.strings_len, "strings")
        if h.strings_len == 0 or self._strings[0] != 0 or self._strings[-1] != 0:
            raise self._bad("its strings do not begin and end with a zero byte")
        self.program, self.object = self._text(h.program), self._text(h.object)
        self.cgroup = self._text(h.cgroup, None)
        raw = self._bytes(h.desc_off, h.ndesc * desc.size, "descriptors")
        descs = [self._desc(fields, h.version) for fields in desc.iter_unpack(raw)]
        self._check_cells(descs)
        # States first, texts after: what was ready then has its text now.
        states = self._bytes(h.tables_off, h.tables_len, "tables")
        tables = self._bytes(h.tables_off, h.tables_len, "tables")
        rows = self._bytes(h.rows_off, h.rows * h.row_size, "rows")
        self.series, self.refused = [], {}
        for desc in descs:
            self._add_series(desc, states, tables, rows)

    def _check_sizes(self, header_size):
        h = self.header
        if h.ndesc > DESCS_MAX or h.strings_len > TEXT_MAX:
            raise self._bad("%d metrics, %d bytes of text: too much" % (h.ndesc, h.strings_len))
        if h.row_size % ROW_ALIGN or h.row_size < ROW_HEADER or h.rows_off % 8:
            raise self._bad("rows of %d bytes at byte %d" % (h.row_size, h.rows_off))
        if not 1 <= h.rows <= h.rows_max:
            raise self._bad("%d rows of at most %d" % (h.rows, h.rows_max))
        if h.tables_len % SLOT.size or h.tables_off % 4:
            raise self._bad("tables of %d bytes at byte %d" % (h.tables_len, h.tables_off))
        if h.rows * h.row_size + h.tables_len > BYTES_MAX:
            raise self._bad("%d rows of %d bytes: too much" % (h.rows, h.row_size))
        end = header_size
        for what, at, size in (("descriptors", h.desc_off, h.ndesc * h.desc_size),
                               ("strings", h.strings_off, h.strings_len),
                               ("tables", h.tables_off, h.tables_len),
                               ("rows", h.rows_off, h.rows * h.row_size)):
            if size == 0:
                continue
            if at < end:
                raise self._bad("%s at byte %d, within what is before them" % (what, at))
            end = at + size

    def _text(self, offset, longest=NAME_MAX):
        if offset >= len(self._strings):
            raise self._bad("a string at byte %d of %d" % (offset, len(self._strings)))
        text = self._strings[offset:self._strings.index(b"\0", offset)]
        if longest is not None and len(text) > longest:
            raise self._bad("a string of %d bytes" % len(text))
        return text.decode("utf-8", "replace")

    def _desc(self, fields, version):
        if version == 1:
            fields += (0, 0, 0, 0, 0, 0)
        d = Desc._make(fields)
        known = (COUNTER, GAUGE) if version == 1 else tuple(TYPE_NAMES)
        name = self._text(d.name)
        if not re.fullmatch("[a-zA-Z_:][a-zA-Z0-9_:]*", name):
            raise self._bad("a metric's name is %r" % name)
        if d.type not in known or d.flags & ~FLAG_PEAK or abs(d.scale) > SCALE_MAX:
            raise self._bad("%s: type %d, flags %#x, scale %d" % (name, d.type, d.flags, d.scale))
        cells = {HISTOGRAM: 1, INFO: 0}.get(d.type, 1)
        if d.type == HISTOGRAM:
            if not (-1 <= d.lo < d.hi <= 63 and d.bits <= 8):
                raise self._bad("%s: a histogram of %d, %d, %d" % (name, d.lo, d.hi, d.bits))
            cells += bucket_count(d.lo, d.hi, d.bits)
        series = max(d.slots, 1)
        if d.cells != cells or d.cell % 8 or d.cell < ROW_HEADER or \
                d.cell + 8 * cells * series > self.header.row_size:
            raise self._bad("%s: %d cells at byte %d of a row" % (name, d.cells * series, d.cell))
        if d.slots and (d.table + d.slots) * SLOT.size > self.header.tables_len:
            raise self._bad("%s: %d slots from slot %d on" % (name, d.slots, d.table))
        return d

    def _check_cells(self, descs):
        for what, spans in (
                ("cells", [(d.cell, 8 * d.cells * max(d.slots, 1)) for d in descs if d.cells]),
                ("slots", [(d.table, d.slots) for d in descs if d.slots])):
            end = 0
            for at, size in sorted(spans):
                if at < end:
                    raise self._bad("two metrics have the same %s" % what)
                end = at + size

    def _labels(self, desc):
        """The labels that are given, and the names whose values are in the slots."""
        pairs, names = [], []
        for part in self._text(desc.labels, None).split("\x1e")[:-1]:
            name, is_pair, value = part.partition("\x1f")
            if is_pair:
                pairs.append((name, value))
            else:
                names.append(name)
        if bool(names) != bool(desc.slots):
            raise self._bad("%s: %d names for %d slots" %
                            (self._text(desc.name), len(names), desc.slots))
        return tuple(pairs), names

    def _add_series(self, desc, states, tables, rows):
        pairs, names = self._labels(desc)
        metric = self._text(desc.name)
        for i in range(max(desc.slots, 1)):
            labels = pairs
            if desc.slots:
                at = (desc.table + i) * SLOT.size
                if struct.unpack_from("=I", states, at)[0] != SLOT_READY:
                    continue
                text = SLOT.unpack_from(tables, at)[2]
                if b"\0" not in text:
                    raise self._bad("%s: label values without end" % metric)
                text = text[:text.index(b"\0")]
                values = text.decode("utf-8", "replace").split("\x1f")
                if i == desc.slots - 1 and text:
                    self.refused[metric] = values
                # what is no UTF-8 can't be shown: it goes where else there is no room
                if i == desc.slots - 1 or text.decode("utf-8", "ignore").encode() != text:
                    values = ["overflow"] * len(names)
                if len(values) != len(names):
                    raise self._bad("%s: %d label values for %d names" %
                                    (metric, len(values), len(names)))
                labels += tuple(zip(names, values))
            s = Series(desc, metric, self._text(desc.unit), self._text(desc.help, None), labels)
            self._add_value(s, desc, desc.cell + i * desc.cells * 8, rows)
            self.series.append(s)

    def _add_value(self, s, desc, at, rows):
        h = self.header
        if desc.type in (GAUGE, GAUGE_DOUBLE):
            s.value = struct.unpack_from("=q" if desc.type == GAUGE else "=d", rows, at)[0]
            return
        if desc.type == INFO:
            s.value = 1
            return
        cells = [0] * desc.cells
        for row in range(h.rows):
            for i, n in enumerate(struct.unpack_from("=%dQ" % desc.cells, rows,
                                                     row * h.row_size + at)):
                cells[i] += n
        cells = [n & MASK for n in cells]
        s.value = cells[0]
        if desc.type == HISTOGRAM:
            s.sum, s.buckets = cells[0], cells[1:]
            s.value = sum(s.buckets) & MASK
            s.bounds = [bucket_bound(i, desc.lo, desc.hi, desc.bits)
                        for i in range(len(s.buckets))]


def read_dir(directory):
    """All segments of a directory, and the errors of the files that are none: (list, list)."""
    segments, errors = [], []
    for entry in sorted(os.listdir(directory)):
        if entry.endswith((".new", ".refused")):
            continue
        try:
            segments.append(Segment(os.path.join(directory, entry)))
        except SegmentError as e:
            errors.append(e)
    return segments, errors


def added(gauge, value):
    """Doubles are added as such; integers wrap, as they do in C."""
    if gauge.type == GAUGE_DOUBLE:
        return gauge.value + value
    return (gauge.value + value + (1 << 63) & MASK) - (1 << 63)


def sum_up(segments):
    """Series of each program and user: {(program, uid, name, labels): Series}, with `living` and `dead`,
    the number of segments. Counters and histograms are summed over all, gauges over the living."""
    total = {}
    for segment in segments:
        counted = set()
        for s in segment.series:
            key = (segment.program, segment.uid, s.name, s.labels)
            have = total.get(key)
            if have is not None and (have.type, have.scale, have.bounds) != \
                    (s.type, s.scale, s.bounds):
                continue  # another metric of the same name: the first one is shown
            is_gauge = s.type in (GAUGE, GAUGE_DOUBLE, INFO)
            if have is None:
                have = total[key] = s
                have.living = have.dead = 0
                have.fresh = not is_gauge or segment.living
                if not have.fresh:
                    have.value = 0
            elif not is_gauge:
                have.value = (have.value + s.value) & MASK
                have.sum = (have.sum + s.sum) & MASK
                have.buckets = [(a + b) & MASK for a, b in zip(have.buckets, s.buckets)]
            elif segment.living:
                if s.peak and have.fresh:
                    have.value = max(have.value, s.value)
                elif s.type == INFO:
                    have.value = 1
                else:
                    have.value = added(have, s.value) if have.fresh else s.value
                have.fresh = True
            if key not in counted:  # its own slots may hold the same labels twice
                counted.add(key)
                have.living += segment.living
                have.dead += not segment.living
    return total


def number_text(value):
    return format(value, "f") if isinstance(value, Decimal) else repr(value)


def labels_text(labels):
    def escaped(value):
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    inner = ",".join('%s="%s"' % (name, escaped(value)) for name, value in labels)
    return "{%s}" % inner if inner else ""


def text_lines(total, user_name=str):
    """OpenMetrics text of what sum_up() made."""
    by_family = sorted(total.items(), key=lambda item: (item[0][2], item[0]))
    for family, members in itertools.groupby(by_family, key=lambda item: item[0][2]):
        members = list(members)
        first = members[0][1]
        yield "# TYPE %s %s" % (family, TYPE_NAMES[first.type])
        if first.unit:
            yield "# UNIT %s %s" % (family, first.unit)
        yield "# HELP %s %s" % (family, first.help.replace("\\", "\\\\").replace("\n", "\\n"))
        for (program, uid, name, labels), s in members:
            own = labels + (("program", program), ("user", user_name(uid)))
            if s.type != HISTOGRAM:
                suffix = {COUNTER: "_total", INFO: "_info"}.get(s.type, "")
                yield "%s%s%s %s" % (name, suffix, labels_text(own), number_text(s.shown(s.value)))
                continue
            below = 0
            for bound, n in zip(s.bounds, s.buckets):
                below += n
                le = "+Inf" if bound is None else number_text(s.shown(bound))
                yield "%s_bucket%s %d" % (name, labels_text(own + (("le", le),)), below)
            yield "%s_count%s %d" % (name, labels_text(own), s.value)
            yield "%s_sum%s %s" % (name, labels_text(own), number_text(s.shown(s.sum)))
    yield "# EOF"


# --- the command line --------------------------------------------------------------------------

def user_name(uid):
    import pwd  # pylint: disable=import-outside-toplevel
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def read_command(args):
    try:
        segments, errors = read_dir(args.dir)
    except OSError as e:
        sys.stderr.write("%s: %s\n" % (args.dir, e.strerror))
        return 1
    for error in errors:
        sys.stderr.write("%s\n" % error)
    sys.stdout.write("".join(line + "\n" for line in text_lines(sum_up(segments), user_name)))
    for segment in segments:
        for metric, values in segment.refused.items():
            sys.stderr.write("%s: %s has no room; the first to be counted as overflow: %s\n" %
                             (segment.path, metric, ",".join(values)))
    return 1 if errors else 0


def count_command(args):
    from tally_writer import Writer  # pylint: disable=import-outside-toplevel
    w = Writer(args.dir, program=args.program)
    turns = w.counter("demo_turns", "Turns of the loops of all threads and processes")
    by_worker = w.counter("demo_turns_by_worker", "The same for each", labels=("worker",),
                          max_series=args.threads * (args.forks + 1))
    busy = w.gauge("demo_busy_workers", "Threads that count")
    took = w.histogram("demo_turn_seconds", "Time from turn to turn", lo=8, hi=34, unit="seconds",
                       scale=-9)
    if not w.open():
        return 1

    def work(number):
        mine = by_worker.labels(str(number))
        busy.add(1)
        last = time.perf_counter_ns()
        for _ in range(args.times):
            turns.inc()
            mine.inc()
            now = time.perf_counter_ns()
            took.record(now - last)
            last = now
        busy.add(-1)

    def run(process):
        threads = [threading.Thread(target=work, args=(process * args.threads + i,))
                   for i in range(args.threads)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    children = []
    for i in range(args.forks):
        pid = os.fork()
        if pid == 0:
            run(i + 1)
            os._exit(0)
        children.append(pid)
    run(0)
    failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
    wanted = args.times * args.threads * (args.forks + 1)
    print(json.dumps({"file": w.path, "wanted": wanted, "turns": turns.value(),
                      "recorded": took.value()}))
    return 0 if not failed and wanted == turns.value() == took.value() else 1


def main():
    parser = argparse.ArgumentParser(description="Reads segments of tally, or counts into one.")
    commands = parser.add_subparsers(dest="command", required=True)
    read = commands.add_parser("read", help="all series of a directory, as OpenMetrics text")
    read.add_argument("dir")
    count = commands.add_parser("count", help="a demonstration: counts, and compares with what it did")
    count.add_argument("dir")
    count.add_argument("--program", default="demo")
    count.add_argument("--threads", type=int, default=2)
    count.add_argument("--forks", type=int, default=1, help="processes besides the first")
    count.add_argument("--times", type=int, default=10000, help="turns of each thread")
    args = parser.parse_args()
    return read_command(args) if args.command == "read" else count_command(args)


if __name__ == "__main__":
    sys.exit(main())
