# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts into a segment of tally from Python: metrics for any program, its threads and its forks.

Written from include/tally/segment.h and histogram.h; needs Python 3.8 or newer, this file, and
tally_segment.py beside it.

    import tally_writer as tally

    w = tally.Writer("/run/tally/seg", program="shop")
    orders = w.counter("orders", "Orders taken")
    by_code = w.counter("responses", "Responses", labels=("code",), max_series=20)
    queue = w.gauge("queue_length", "Orders that wait")
    taken = w.histogram("order_seconds", "How long it took", unit="seconds", scale=-9, lo=10, hi=34)
    w.open()                          # all metrics are known: makes the file

    orders.inc()
    by_code.labels("200").inc()
    queue.set(7)
    taken.record(time.perf_counter_ns() - start)

How it counts, and why no count is lost

  An increment reads a cell, adds, and stores: one store of eight bytes (memoryview.cast("Q"); a
  struct of explicit byte order would store byte by byte, and a kill between two of them would show).
  It is exact because nobody else writes to that row:
    threads    each has a row of its own, kept in a threading.local. The interpreter's lock would not
               do: it may change hands between the read and the store.
    signals    a handler, or a finalizer, that counts in the middle of an increment of its thread is
               told by the thread's depth, and counts in a second row of that thread.
    fork       os.register_at_fork makes the child forget its parent's rows, and claim its own.
    SIGKILL    what has been stored is in the file, which the kernel keeps. The lock that says "alive"
               goes with the last process that has the file open or mapped.
  Rare things are done by one thread of the family at a time: a threading.RLock, and a POSIX record
  lock on an unnamed file, which dies with its owner. These are: claiming a row, a new label value,
  and every use of a gauge. A handler that interrupts them in its own thread has its count done by
  the interrupted one when that is through, a moment later; a new label value becomes "overflow".

Limits: a handler that forks, and whose child goes on in the middle of an increment, can lose that
one. Who closes descriptors that are not his takes the family's lock away: rows that are claimed go on
(the mapping keeps the file locked), threads and forks that are new after that are not counted, with a
message. A dead file is not taken over: that is for the programs of tally.h; the provider folds it.
"""
import collections
import contextlib
import copy
import errno
import fcntl
import mmap
import os
import re
import struct
import sys
import threading
import time
import zlib

from tally_segment import (
    AT_GENERATION, AT_INSERTS, AT_ROWS, BETWEEN, COUNTER, DESC, END, FLAG_PEAK, GAUGE, GAUGE_DOUBLE,
    HEADER, HISTOGRAM, INFO, MAGIC, MASK, NAME_MAX, ROW_ALIGN, ROW_HEADER, SLOT, SLOT_FREE,
    SLOT_READY, SLOT_TEXT, SLOT_WRITING, Header, SegmentError, bucket_count, bucket_of, lock_file)

NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL_NAME = re.compile("[a-zA-Z_][a-zA-Z0-9_]{0,62}")
LABELS_TAKEN = ("le", "program", "user", "cgroup")
CONTROL = re.compile("[\x00-\x1f\x7f]")
ROWS_MAX, CELLS_MAX = 1024, 32 << 20
FILES_MAX = 1024  # names that are tried: one for each process of the program that lives


def _rounded(n, to):
    return -(-n // to) * to


def _inode(path):
    try:
        return os.stat(path).st_ino & 0xffffffff
    except OSError:
        return 0


def _read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def _start_ticks():
    """Field 22 of /proc/self/stat: the second field, a name in parentheses, may hold anything."""
    fields = _read_text("/proc/self/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0


def _cgroup():
    """As this process sees it: of version 2, else of systemd's hierarchy; "" for the root."""
    paths = {}
    for line in _read_text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        paths[controllers] = "" if path == "/" else path
    return paths.get("") or paths.get("name=systemd", "")


class _Rows(list):
    """The rows of a thread, by depth: where each begins, in cells. They go back when it ends."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def __del__(self):
        self.pool.extend(self)


class _Thread(threading.local):
    def __init__(self, pool):
        self.depth = 0  # increments of this thread that are under way
        self.rows = _Rows(pool)


class _Metric:
    """What is known of a metric before the file is made; `cell` counts cells, not bytes."""

    def __init__(self, writer, kind, name, help_text, unit, scale, given, labels, max_series, **more):
        self._writer = writer
        self.type, self.name, self.help, self.unit, self.scale = kind, name, help_text, unit, scale
        self.given, self.names = tuple(given.items()), tuple(labels)
        self.slots = max_series + 1 if labels else 0
        self.lo, self.hi, self.bits = more.get("lo", 0), more.get("hi", 0), more.get("bits", 0)
        self.flags = FLAG_PEAK if more.get("peak") else 0
        self.cells = {HISTOGRAM: 1, INFO: 0}.get(kind, 1)
        if kind == HISTOGRAM:
            if not (-1 <= self.lo < self.hi <= 63 and 0 <= self.bits <= 8):
                raise SegmentError("%s: not -1 <= lo < hi <= 63, bits <= 8" % name)
            self.cells += bucket_count(self.lo, self.hi, self.bits)
        self.first = self.table = None
        self.cell = None  # of a metric with labels: labels() has those of its series
        self._known, self._by_text, self._full = {}, {}, False
        self._check()

    def _check(self):
        suffix = {COUNTER: "_total", INFO: "_info"}.get(self.type, "_bucket")
        if not NAME.fullmatch(self.name) or len(self.name) > NAME_MAX or \
                self.name.startswith(("tally_", "tallyd_")):
            raise SegmentError("%s: not a metric's name, or one of tally's own" % self.name)
        if self.name.endswith((suffix, "_bucket")):
            raise SegmentError("%s: the suffix is added where it is shown" % self.name)
        if self.unit and not re.fullmatch(".+_" + re.escape(self.unit), self.name):
            raise SegmentError("%s: does not end with its unit, %s" % (self.name, self.unit))
        for label in self.names + tuple(name for name, _ in self.given):
            if not LABEL_NAME.fullmatch(label) or label.startswith("__") or label in LABELS_TAKEN:
                raise SegmentError("%s: not a label's name: %s" % (self.name, label))
        for _, value in self.given:
            if CONTROL.search(value):
                raise SegmentError("%s: a label's value with control characters" % self.name)
        if any("\0" in text for text in (self.help, self.unit)):
            raise SegmentError("%s: a text with a zero byte" % self.name)

    def labels_bytes(self):
        return b"".join([n.encode() + BETWEEN + v.encode() + END for n, v in self.given] +
                        [n.encode() + END for n in self.names])

    def labels(self, *values):
        """The series of these label values: keep it. No room, or too long: the "overflow" one."""
        series = self._known.get(values)
        return series if series is not None else self._writer._find(self, values)

    def series(self, slot):
        series = copy.copy(self)
        series.cell = self.first + slot * self.cells
        return series

    def value(self):
        """What this process and its family have counted; of a histogram, how many values."""
        return self._writer._value(self)


class Counter(_Metric):
    def inc(self, n=1):
        self._writer._add(((self.cell, n),))


class Gauge(_Metric):
    def set(self, value):
        self._writer._gauge(self, lambda old: value)

    def add(self, n):
        self._writer._gauge(self, lambda old: old + n)

    def max(self, value):
        self._writer._gauge(self, lambda old: max(old, value))


class Histogram(_Metric):
    def record(self, value, n=1):
        """n values, each an int of at least 0 in units of 10^scale."""
        value = min(max(value, 0), MASK)
        bucket = bucket_of(value, self.lo, self.hi, self.bits)
        # the count first: a kill between the two leaves the last value out of the sum
        self._writer._add(((self.cell + 1 + bucket, n), (self.cell, n * value)))


class Writer:
    """A segment of this process and of those that it forks.

    Define metrics, then open(). All methods of metrics may be called by any thread, in handlers of
    signals and in forked children; ints only, but for gauges that are double.
    """

    def __init__(self, directory=None, program=None, object_name=""):
        self._directory = os.path.abspath(directory or os.environ.get("TALLY_DIR") or
                                          "/run/tally/seg")
        self.program = program or os.path.basename(sys.argv[0] or "python")
        self.program = re.sub(r"[^a-zA-Z0-9_-]", "_", self.program)[:NAME_MAX // 2]
        self._object = object_name
        self._metrics = []
        self._cells = self._map = None
        self._fd = self._guard_fd = None
        self.path = None  # of the segment; None: counts are in private memory
        self._begin_process()
        os.register_at_fork(after_in_child=self._after_fork)

    # Metrics.

    def _define(self, cls, kind, name, help_text, unit="", scale=0, given=None, labels=(),
                max_series=0, **more):
        if self._cells is not None:
            raise SegmentError("%s: the segment is open, its metrics are fixed" % name)
        if labels and max_series < 1:
            raise SegmentError("%s: labels need max_series" % name)
        metric = cls(self, kind, name, help_text, unit, scale, given or {}, labels, max_series, **more)
        self._metrics.append(metric)
        return metric

    def counter(self, name, help_text, **more):
        """more: unit, scale; given={label: value}; labels=(name, ...) and max_series."""
        return self._define(Counter, COUNTER, name, help_text, **more)

    def gauge(self, name, help_text, double=False, **more):
        """The same, and peak=True: of several processes the highest is shown, not the sum."""
        return self._define(Gauge, GAUGE_DOUBLE if double else GAUGE, name, help_text, **more)

    def histogram(self, name, help_text, lo, hi, bits=2, **more):
        """Of values from 2^lo to 2^hi, in 2^bits buckets for each power of two."""
        return self._define(Histogram, HISTOGRAM, name, help_text, lo=lo, hi=hi, bits=bits, **more)

    def info(self, name, help_text, given):
        return self._define(_Metric, INFO, name, help_text, given=given)

    # The file.

    def open(self):
        """Makes the segment. False, with a message on stderr: it can't be, and counts are in private
        memory that only this process has; the program need not care."""
        image = self._layout()
        size = _rounded(self._rows_off + self._rows_max * self._row_size, mmap.PAGESIZE)
        try:
            self._make_file(image, size)
        except OSError as e:
            sys.stderr.write("tally: %s: %s: counting in private memory\n" %
                             (self._directory, e.strerror))
            self._close()
            self._map = mmap.mmap(-1, size, mmap.MAP_PRIVATE)
            self._map[:len(image)] = image
        self._cells = memoryview(self._map).cast("Q")
        self._words = memoryview(self._map).cast("I")
        return self.path is not None

    def _layout(self):
        """Places everything; returns the bytes before the rows."""
        strings = bytearray(1)
        places = {b"": 0}

        def place(text):
            if text not in places:
                places[text] = len(strings)
                strings.extend(text + b"\0")
            return places[text]

        at, slots, descs = ROW_HEADER // 8, 0, []
        for m in self._metrics:
            m.first, m.table = at, slots
            m.cell = None if m.slots else at
            help_text = m.help.encode()[:NAME_MAX].decode("utf-8", "ignore").encode()
            descs.append(DESC.pack(place(m.name.encode()), place(m.unit.encode()), place(help_text),
                                   m.type, m.scale, m.flags, at * 8, m.cells,
                                   place(m.labels_bytes()), m.lo, m.hi, m.bits,
                                   slots if m.slots else 0, m.slots))
            at += m.cells * max(m.slots, 1)
            slots += m.slots
        program, own = place(self.program.encode()), place(self._object.encode())
        # Same name, same metrics: what distinguishes files is not who made them.
        self._hash = "%08x%08x" % (zlib.crc32(b"".join(descs)), zlib.crc32(strings))
        cgroup = place(_cgroup().encode())
        desc_off = HEADER.size
        strings_off = desc_off + len(descs) * DESC.size
        self._tables_off = _rounded(strings_off + len(strings), 64)
        self._rows_off = _rounded(self._tables_off + slots * SLOT.size, 64)
        self._row_size = _rounded(at * 8, ROW_ALIGN)
        self._rows_max = max(2, min(ROWS_MAX, CELLS_MAX // self._row_size))
        header = Header(MAGIC, 2, HEADER.size, os.urandom(16), time.time_ns(), desc_off, len(descs),
                        strings_off, len(strings), self._rows_off, self._row_size, self._rows_max, 2,
                        1, 1, program, own, DESC.size, cgroup, _inode("/proc/self/ns/cgroup"), 0,
                        os.getpid(), self._pid_ns, _start_ticks(), 0, 0, 0, self._tables_off,
                        slots * SLOT.size)
        self._generation = 1
        image = HEADER.pack(*header) + b"".join(descs) + strings
        return image.ljust(self._rows_off, b"\0")

    def _make_file(self, image, size):
        # A name of its own for each maker, so that two never fill the same unfinished file.
        base = os.path.join(self._directory, "%s.%d.%s" % (self.program, os.geteuid(), self._hash))
        new = "%s.%d-%s.new" % (base, os.getpid(), os.urandom(4).hex())
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(new, flags, 0o640)
        try:
            if not lock_file(self._fd, fcntl.F_WRLCK):
                raise OSError(errno.EAGAIN, "somebody else locked it")
            os.fchmod(self._fd, 0o640)
            self._file_id = os.fstat(self._fd)[1:3]
            os.ftruncate(self._fd, size)
            # Blocks now, so that a full file system is an error here, not SIGBUS at an increment.
            os.posix_fallocate(self._fd, 0, self._rows_off + 2 * self._row_size)
            os.pwrite(self._fd, image, 0)
            self._guard_fd = os.memfd_create("tally-guard", os.MFD_CLOEXEC)
            self._guard_id = os.fstat(self._guard_fd)[1:3]
            self._map = mmap.mmap(self._fd, size, mmap.MAP_SHARED)
            for slot in range(FILES_MAX):
                try:
                    # renameat2() would do it in one step; a link, too, never replaces anything
                    os.link(new, "%s.%d" % (base, slot))
                    self.path = "%s.%d" % (base, slot)
                    break
                except FileExistsError:
                    continue
            else:
                raise OSError(errno.EEXIST, "no free name")
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)

    def _close(self):
        for fd in (self._fd, self._guard_fd):
            if fd is not None:
                os.close(fd)
        self._fd = self._guard_fd = None

    # Who may do what rarely happens: one thread of all processes at a time.

    def _begin_process(self):
        self._pool = collections.deque()  # rows of this process whose threads have ended
        self._local = _Thread(self._pool)
        self._lock = threading.RLock()
        self._inside = False
        self._deferred = collections.deque()
        self._private = False
        self._pid, self._pid_ns = os.getpid(), _inode("/proc/self/ns/pid")

    def _after_fork(self):
        self._generation = None  # drawn when it is needed: most children never count
        self._begin_process()

    def _slowly(self, work, *args):
        """Does work(*args) alone. None: a handler interrupted another one, which will do it."""
        with self._lock:
            if self._inside:
                self._deferred.append((work, args))
                return None
            self._inside = True
            locked = False
            try:
                locked = self._lock_family()
                result = work(*args)
            finally:
                if locked:
                    fcntl.lockf(self._guard_fd, fcntl.LOCK_UN)
                self._inside = False
        while self._deferred:
            try:
                work, args = self._deferred.popleft()
            except IndexError:
                break
            self._slowly(work, *args)
        return result

    def _lock_family(self):
        if self._guard_fd is None or self._private:
            return False
        try:
            # its number may by now be another file's
            if os.fstat(self._guard_fd)[1:3] == self._guard_id:
                fcntl.lockf(self._guard_fd, fcntl.LOCK_EX)
                return True
        except OSError:
            pass
        self._private = True
        sys.stderr.write("tally: somebody closed descriptor %d, with which processes take turns: threads "
                         "that have not counted yet will not be counted\n" % self._guard_fd)
        return False

    # Rows.

    def _add(self, adds):
        """Adds to cells of this thread's row. Exact against everything that interrupts it: whoever
        counts in the middle of this sees a greater depth, and puts it back to what it was."""
        local, cells = self._local, self._cells
        depth = local.depth
        local.depth = depth + 1
        try:
            if depth >= len(local.rows) and not self._claim(local, depth):
                self._slowly(self._add_shared, adds)
                return
            row = local.rows[depth]
            for cell, n in adds:
                cells[row + cell] = (cells[row + cell] + n) & MASK
        finally:
            local.depth = depth

    def _claim(self, local, depth):
        while len(local.rows) <= depth:
            if not self._slowly(self._claim_row, local.rows):
                return False
        return True

    def _claim_row(self, rows):
        cells = self._cells
        if cells is None:
            raise SegmentError("open() the segment before anything is counted")
        if self._private:
            return False
        if self._generation is None:
            self._generation = self._words[AT_GENERATION // 4] + 1
            self._words[AT_GENERATION // 4] = self._generation
        row = self._pool.popleft() if self._pool else self._free_row()
        if row is None:
            return False
        newest = self._generation << 32
        claim = ((cells[row] >> 22) + 1) & 0x3ff
        cells[row + 1] = newest | self._pid
        cells[row + 2] = newest | self._pid_ns
        cells[row] = newest | claim << 22 | threading.get_native_id()
        rows.append(row)
        return True

    def _free_row(self):
        """A row of nobody, or of a process that is gone, or a new one as long as there is room."""
        count = self._words[AT_ROWS // 4]
        for i in range(1, count):
            if self._cells[self._row(i)] == 0 or self._is_gone(self._row(i)):
                return self._row(i)
        if count >= self._rows_max:
            return None
        try:
            if self.path is not None:
                if os.fstat(self._fd)[1:3] != self._file_id:
                    return None  # somebody closed it, and it is another file's number
                os.posix_fallocate(self._fd, self._rows_off + count * self._row_size, self._row_size)
        except OSError:
            return None  # the file system is full
        self._words[AT_ROWS // 4] = count + 1
        return self._row(count)

    def _add_shared(self, adds):
        """Where there is no row to be had: in row 0, which belongs to who is alone."""
        for cell, n in adds:
            if not self._private:
                at = self._row(0) + cell
                self._cells[at] = (self._cells[at] + n) & MASK

    def _row(self, i):
        return (self._rows_off + i * self._row_size) // 8

    def _is_gone(self, row):
        owner, pid, pid_ns = self._cells[row:row + 3]
        generation = owner >> 32
        if generation == self._generation or pid >> 32 != generation or \
                pid_ns != generation << 32 | self._pid_ns or self._pid_ns == 0:
            return False
        pid &= 0xffffffff
        if pid == self._pid:
            return True  # of an earlier process that had our number
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False

    # Gauges, all in row 0.

    def _gauge(self, metric, change):
        self._slowly(self._change, metric, change)

    def _change(self, metric, change):
        at, double = self._row(0) + metric.cell, metric.type == GAUGE_DOUBLE
        new = change(self._number(self._cells[at], double))
        self._cells[at] = struct.unpack("=Q", struct.pack("=d", new))[0] if double else new & MASK

    @staticmethod
    def _number(cell, double):
        return struct.unpack("=d" if double else "=q", struct.pack("=Q", cell))[0]

    def _value(self, metric):
        cells, base = self._cells, self._row(0) + metric.cell
        if metric.type in (GAUGE, GAUGE_DOUBLE):
            return self._number(cells[base], metric.type == GAUGE_DOUBLE)
        first, last = (1, metric.cells) if metric.type == HISTOGRAM else (0, 1)
        rows = self._words[AT_ROWS // 4]
        return sum(cells[self._row(row) + metric.cell + i]
                   for row in range(rows) for i in range(first, last)) & MASK

    # Label values.

    def _find(self, metric, values):
        if self._cells is None or not metric.slots:
            raise SegmentError("%s: not open yet, or without labels" % metric.name)
        texts = tuple(CONTROL.sub("?", str(value)) for value in values)
        text = BETWEEN.join(t.encode("utf-8", "replace") for t in texts)
        series = metric._by_text.get(text)
        if series is None and not metric._full:
            series = self._slowly(self._insert, metric, text, len(texts))
        if series is None:
            return metric.series(metric.slots - 1)
        if texts == values and text in metric._by_text:
            metric._known[values] = series
        return series

    def _insert(self, metric, text, count):
        """The series of text, new or not; None: overflow. Alone, so WRITING is of a dead process."""
        free = None
        for i in range(metric.slots - 1):
            at = self._tables_off + (metric.table + i) * SLOT.size
            state, _, have = SLOT.unpack_from(self._map, at)
            have = have[:have.index(0)]
            if state == SLOT_READY and have not in metric._by_text:
                metric._by_text[have] = metric.series(i)
            if state == SLOT_FREE and free is None:
                free = i
        series = metric._by_text.get(text)
        if series is not None:
            return series
        good = count == len(metric.names) and len(text) < SLOT_TEXT
        if good and free is not None:
            self._fill(metric.table + free, text)
            metric._by_text[text] = metric.series(free)
            return metric._by_text[text]
        overflow = metric.table + metric.slots - 1
        if self._words[(self._tables_off + overflow * SLOT.size) // 4] == SLOT_FREE:
            cut = text[:SLOT_TEXT - 1].decode("utf-8", "ignore").encode()
            self._fill(overflow, cut)
        metric._full = free is None
        return None

    def _fill(self, slot, text):
        at = self._tables_off + slot * SLOT.size
        self._set_state(at, SLOT_WRITING)
        self._map[at + 4:at + SLOT.size] = struct.pack("=I", zlib.crc32(text)) + \
            text.ljust(SLOT_TEXT, b"\0")
        self._set_state(at, SLOT_READY)

    def _set_state(self, at, state):
        self._words[at // 4] = state
        self._words[AT_INSERTS // 4] = (self._words[AT_INSERTS // 4] + 1) & 0xffffffff
