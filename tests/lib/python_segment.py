#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests/e2e/python-segment.sh asks of tools/examples/tally_{segment,writer}.py.

Each command says what differs and ends with 1, or ends with 0.
"""
import collections
import fcntl
import json
import os
import queue
import random
import re
import signal
import struct
import sys
import threading
import time
from decimal import Decimal

sys.dont_write_bytecode = True
sys.path.insert(0, "tools/examples")
# pylint: disable=wrong-import-position
import tally_segment as reader  # noqa: E402
import tally_writer as writer  # noqa: E402

SEED = int(os.environ.get("TALLY_SEED", "1"))
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


def fail(*what):
    print("FAIL:", *what)
    sys.exit(1)


def same(what, got, wanted):
    if got != wanted:
        fail("%s: got %r, wanted %r" % (what, got, wanted))


def split_series(text):
    """NAME{LABELS} -> (name, {label: value})"""
    name, _, labels = text.partition("{")
    found, at, labels = {}, 0, labels[:-1]
    while at < len(labels):
        m = LABEL.match(labels, at)
        if not m:
            fail("no labels:", text)
        found[m[1]] = re.sub(r"\\(.)", lambda e: {"n": "\n"}.get(e[1], e[1]), m[2])
        at = m.end()
    return name, found


def by_python(directory, programs=None):
    """{(program, user, name with suffix, sorted labels): dict as `tally live --json` has it}"""
    segments, errors = reader.read_dir(directory)
    if errors:
        fail(*errors)
    result = {}
    for (program, uid, name, labels), s in reader.sum_up(segments).items():
        if programs and program not in programs:
            continue
        suffix = {reader.COUNTER: "_total", reader.INFO: "_info",
                  reader.HISTOGRAM: "_count"}.get(s.type, "")
        # an info is shown as a gauge that is 1
        kind = "gauge" if s.type == reader.INFO else reader.TYPE_NAMES[s.type]
        row = {"type": kind, "living": s.living, "dead": s.dead,
               "value": s.value if s.type == reader.HISTOGRAM else s.shown(s.value)}
        if s.type == reader.HISTOGRAM:
            row["sum"] = s.shown(s.sum)
            row["buckets"] = [["+Inf" if bound is None else s.shown(bound), n]
                              for bound, n in zip(s.bounds, s.buckets) if n]
        result[(program, reader.user_name(uid), name + suffix, tuple(sorted(labels)))] = row
    return result


def equal_numbers(a, b):
    """Integers and decimals exactly; a double is what its shortest text reads as."""
    if isinstance(a, float):
        return a == float(b)
    if isinstance(a, list):
        return len(a) == len(b) and all(equal_numbers(x, y) for x, y in zip(a, b))
    return a == b


def compare_live(directory, live_file, at_least):
    with open(live_file, encoding="utf-8") as f:
        rows = json.load(f, parse_float=Decimal)
    ours, seen = by_python(directory), set()
    for row in rows:
        name, labels = split_series(row["metric"])
        key = (row["program"], row["user"], name, tuple(sorted(labels.items())))
        if key not in ours:
            fail("only `tally live` has", key)
        if key in seen:
            fail("twice in `tally live`:", key)
        seen.add(key)
        for field, wanted in ours[key].items():
            if not equal_numbers(wanted, row[field]):
                fail("%s: %s is %s in Python, %s in `tally live`" % (key, field, wanted, row[field]))
    for key in ours.keys() - seen:
        fail("only Python has", key)
    if len(seen) < int(at_least):
        fail("only %d series" % len(seen))
    print("%d series are the same" % len(seen))


def compare_wanted(wanted_file, once_file, dead=""):
    """Each value that a writer counted by itself, against the text of `tallyd --once`. Of a dead one
    there are no gauges, so none of its values may be another's."""
    with open(wanted_file, encoding="utf-8") as f:
        wanted = {(name, tuple(sorted(labels.items()))): value for name, labels, value in json.load(f)
                  if not dead or name.endswith(("_total", "_bucket", "_sum"))}
    got = {}
    with open(once_file, encoding="utf-8") as f:
        for line in f:
            if not line.startswith("#"):
                series, _, value = line.rstrip("\n").rpartition(" ")
                name, labels = split_series(series)
                labels.pop("user", None)
                labels.pop("cgroup", None)
                if labels.pop("program", None) == "py-writer":
                    got[(name, tuple(sorted(labels.items())))] = Decimal(value)
    for key, value in wanted.items():
        if key not in got:
            fail("tallyd has no", key)
        value = Decimal(repr(value) if isinstance(value, float) else value)
        if got[key] != value:
            fail("%s: tallyd has %s, the writer counted %s" % (key, got[key], value))
    print("%d values are what was counted" % len(wanted))


# --- a writer with an account of its own --------------------------------------------------------

class Metrics:
    def __init__(self, directory, program):
        self.w = w = writer.Writer(directory, program=program)
        self.plain = w.counter("py_turns", "Turns")
        self.bytes = w.counter("py_sent_bytes", "Sent", unit="bytes", given={"way": 'a"b\\c'})
        self.by = w.counter("py_codes", "Codes", labels=("code", "kind"), max_series=6)
        self.level = w.gauge("py_level", "Level")
        self.double = w.gauge("py_ratio", "Ratio", double=True)
        self.most = w.gauge("py_most", "The highest", peak=True)
        self.sizes = w.histogram("py_size_bytes", "Sizes", lo=-1, hi=20, unit="bytes")
        self.times = w.histogram("py_seconds", "Times", lo=10, hi=24, bits=4, unit="seconds", scale=-9,
                                 labels=("what",), max_series=2)
        self.handled = w.counter("py_signals", "Handlers that counted")
        w.info("py_build", "Build", given={"version": "3"})
        if not w.open():
            fail("no segment")


def turn(m, rng, account):
    """One round of each metric; the account holds what must be seen, by plain Python."""
    n = rng.choice((1, 1, 5, 1 << 40))
    m.plain.inc()
    m.bytes.inc(n)
    account["py_turns"] += 1
    account["py_sent_bytes"] += n
    code = (rng.choice(("200", "404", "\u00e4")), rng.choice(("x", "y")))
    m.by.labels(*code).inc()
    account["code", code] += 1
    size = rng.randrange(1 << rng.randrange(1, 24))
    m.sizes.record(size)
    account["size", size] += 1
    what, took = rng.choice("ab"), rng.randrange(1 << rng.randrange(1, 30))
    m.times.labels(what).record(took)
    account["time", what, took] += 1
    m.level.add(3)
    m.level.add(-2)
    account["py_level"] += 1
    m.most.max(size)


def run_threads(m, seed, threads, turns):
    accounts = [collections.Counter() for _ in range(threads)]

    def work(i):
        rng = random.Random(seed + i)
        for _ in range(turns):
            turn(m, rng, accounts[i])

    ts = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    return sum(accounts, collections.Counter())


def histogram_lines(name, labels, lo, hi, bits, scale, values):
    """Bounds by search, so that the writer's arithmetic is not asked about itself."""
    bounds, power = [0] if lo < 0 else [1 << lo], max(lo, 0)
    if lo < 0:
        bounds.append(1)
    while power < hi:
        steps = min(1 << bits, 1 << power)
        bounds += [(1 << power) + ((1 << power) // steps) * (i + 1) for i in range(steps)]
        power += 1
    counts = [0] * (len(bounds) + 1)
    for value, n in values.items():
        counts[next((i for i, b in enumerate(bounds) if value <= b), len(bounds))] += n
    for bound, n in zip(bounds + [None], counts):
        le = "+Inf" if bound is None else format(Decimal(bound).scaleb(scale).normalize(), "f")
        yield name + "_bucket", dict(labels, le=le), n
    yield name + "_sum", labels, str(Decimal(sum(v * n for v, n in values.items())).scaleb(scale))


def wanted_lines(account, ratio):
    lines = [("py_turns_total", {}, account["py_turns"]),
             ("py_sent_bytes_total", {"way": 'a"b\\c'}, account["py_sent_bytes"]),
             ("py_signals_total", {}, account["py_signals"]),
             ("py_level", {}, account["py_level"]), ("py_ratio", {}, ratio),
             ("py_build_info", {"version": "3"}, 1)]
    sizes, times, most = collections.Counter(), collections.defaultdict(collections.Counter), 0
    for key, n in account.items():
        if key[0] == "code":
            lines.append(("py_codes_total", {"code": key[1][0], "kind": key[1][1]}, n))
        elif key[0] == "size":
            sizes[key[1]] += n
            most = max(most, key[1])
        elif key[0] == "time":
            times[key[1]][key[2]] += n
    lines.append(("py_most", {}, most))
    lines += histogram_lines("py_size_bytes", {}, -1, 20, 2, 0, sizes)
    for what, values in times.items():
        lines += histogram_lines("py_seconds", {"what": what}, 10, 24, 4, -9, values)
    return lines


def write(directory, wanted_file, turns):
    """Threads, forks of a process with threads, forks of forks, and a storm of signals; then waits."""
    turns = int(turns)
    m = Metrics(directory, "py-writer")
    account, handled = collections.Counter(), [0]

    def handler(_signo, _frame):
        m.handled.inc()
        m.plain.inc()
        m.by.labels("200", "x").inc()
        handled[0] += 1

    def all_of(seed, depth):
        """In a process of its own: what it and its children counted, through a pipe."""
        total, ends, rng = collections.Counter(), [], random.Random(seed - 1)
        turn(m, rng, total)  # so that there is a row that a child must not use
        for i in range(2 if depth else 0):
            r, w = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(r)
                with os.fdopen(w, "w") as f:
                    f.write(repr(dict(all_of(seed + 100 * (i + 1), depth - 1))))
                os._exit(0)
            os.close(w)
            ends.append((pid, r))
        for _ in range(turns):
            turn(m, rng, total)
        total += run_threads(m, seed, 3, turns)
        for pid, r in ends:
            with os.fdopen(r) as f:
                total += collections.Counter(eval(f.read()))  # pylint: disable=eval-used
            same("a child's end", os.waitpid(pid, 0)[1], 0)
        return total

    account += all_of(SEED, 2)
    # many threads one after the other: rows are used again
    rows = struct.unpack_from("=I", m.w._map, reader.AT_ROWS)[0]
    for i in range(40):
        account += run_threads(m, SEED + 1000 + i, 1, 5)
    same("rows after 40 threads more", struct.unpack_from("=I", m.w._map, reader.AT_ROWS)[0], rows)
    # signals in the middle of increments, of first increments and of gauges
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0002)
    rng = random.Random(SEED + 5000)
    end = time.monotonic() + 0.7
    while time.monotonic() < end or handled[0] < 200:
        turn(m, rng, account)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    account["py_signals"] += handled[0]
    account["py_turns"] += handled[0]
    account["code", ("200", "x")] += handled[0]
    m.double.set(0.1)
    m.double.add(0.2)
    same("value()", m.plain.value(), account["py_turns"])
    same("level", m.level.value(), account["py_level"])
    with open(wanted_file + ".new", "w", encoding="utf-8") as f:
        json.dump(wanted_lines(account, 0.1 + 0.2), f)
    os.rename(wanted_file + ".new", wanted_file)
    print("%d turns, %d signals, %d rows" % (account["py_turns"], handled[0], rows), flush=True)
    while True:
        signal.pause()


def interrupt(directory):
    """At each instruction of the interpreter within a first increment, one more, a gauge and a new label
    value: a handler counts, then another thread, sometimes a new process. None may be lost."""
    m = Metrics(directory, "py-interrupt")
    counts, inside, children = collections.Counter(), [False], []
    ask, done = queue.SimpleQueue(), queue.SimpleQueue()

    def other():
        while ask.get():
            m.plain.inc()
            done.put(True)

    def trace(frame, event, _arg):
        if not frame.f_code.co_filename.endswith("tally_writer.py") or inside[0]:
            return trace
        frame.f_trace_opcodes = True
        inside[0] = True
        m.plain.inc()
        m.level.add(1)
        counts["level"] += 1
        counts["plain"] += 1
        if not m.w._inside:  # who is inside keeps others out
            ask.put(True)
            done.get()
            counts["plain"] += 1
        if counts["level"] % 20 == 0:
            children.append(os.fork())
            if children[-1] == 0:
                m.plain.inc(3)
                os._exit(0)
            counts["plain"] += 3
        inside[0] = False
        return trace

    def work():
        sys.settrace(trace)
        m.plain.inc()
        m.plain.inc()
        m.level.add(7)
        m.by.labels("new", "value").inc()
        sys.settrace(None)

    helper, worker = threading.Thread(target=other), threading.Thread(target=work)
    helper.start()
    worker.start()
    worker.join()
    ask.put(False)
    helper.join()
    for pid in children:
        same("a child's end", os.waitpid(pid, 0)[1], 0)
    same("increments", m.plain.value(), counts["plain"] + 2)
    same("gauge", m.level.value(), counts["level"] + 7)
    same("new label", m.by.labels("new", "value").value(), 1)
    if counts["level"] < 100 or len(children) < 5:
        fail("interrupted only %d times, by %d processes" % (counts["level"], len(children)))
    print("%d interruptions, %d processes" % (counts["level"], len(children)))


def full(directory):
    """Label values beyond the table, too long, with control characters; more threads than rows."""
    m = Metrics(directory, "py-full")
    for i in range(10):
        for _ in range(2):
            m.by.labels(i, "x").inc()
    m.by.labels("y" * 200, "x").inc()
    m.by.labels("only one").inc()
    m.by.labels(0, "x").inc()
    [segment] = [s for s in reader.read_dir(directory)[0] if s.program == "py-full"]
    got = {s.labels: s.value for s in segment.series if s.name == "py_codes"}
    wanted = {(("code", str(i)), ("kind", "x")): 2 + (i == 0) for i in range(6)}
    wanted[("code", "overflow"), ("kind", "overflow")] = 10
    same("series of a full table", got, wanted)
    same("the first that was refused", segment.refused, {"py_codes": ["6", "x"]})

    m.w._rows_max = 4  # as if the file had no more: the others share row 0
    total = run_threads(m, SEED, 8, 300)
    same("turns with 4 rows", m.plain.value(), total["py_turns"])
    same("sizes with 4 rows", m.sizes.value(), sum(n for k, n in total.items() if k[0] == "size"))


def closed(directory):
    """Somebody closes all descriptors, as daemons do, and opens others: what has a row goes on."""
    m = Metrics(directory, "py-closed")
    m.plain.inc()
    os.closerange(3, 64)
    others = [os.open("/dev/null", os.O_RDWR) for _ in range(8)]
    m.plain.inc(4)
    m.level.set(9)
    threads = [threading.Thread(target=m.plain.inc) for _ in range(2)]
    for t in threads:
        t.start()
        t.join()
    [segment] = [s for s in reader.read_dir(directory)[0] if s.program == "py-closed"]
    same("living", segment.living, True)
    got = {s.name: s.value for s in segment.series}
    same("values", (got["py_turns"], got["py_level"]), (5, 9))
    same("descriptors of others", [os.fstat(fd).st_rdev for fd in others],
         [os.stat("/dev/null").st_rdev] * 8)


def crash(directory, wanted_file):
    """Counts until it is killed; tells before and after each increment, in a file that is mapped too."""
    w = writer.Writer(directory, program="py-crash")
    c = w.counter("py_crash", "Until the end")
    if not w.open():
        fail("no segment")
    with open(wanted_file + ".new", "wb+") as f:
        f.write(bytes(16))
        f.flush()
        started = memoryview(writer.mmap.mmap(f.fileno(), 16)).cast("Q")
    os.rename(wanted_file + ".new", wanted_file)
    while True:
        started[0] += 1
        c.inc()
        started[1] += 1


def crashed(wanted_file, got):
    with open(wanted_file, "rb") as f:
        started, returned = struct.unpack("=2Q", f.read())
    if not 0 < returned <= int(got) <= started:
        fail("returned %d, in the segment %s, started %d" % (returned, got, started))
    print("returned %d, in the segment %s, started %d" % (returned, got, started))


# --- what is no segment -------------------------------------------------------------------------

def read_any(path):
    """True: it was read, False: refused with a text that names the file. Anything else ends this."""
    try:
        s = reader.Segment(path)
    except reader.SegmentError as e:
        if not str(e).startswith(path + ": ") or len(str(e)) < len(path) + 8:
            fail("an error that says nothing:", e)
        return False
    text = "".join(reader.text_lines(reader.sum_up([s])))
    return bool(text)


def hostile(good, directory, rounds):
    rng = random.Random(SEED)
    with open(good, "rb") as f:
        image = f.read()
    path = os.path.join(directory, "mutated")
    h = reader.Segment(good).header
    end = h.rows_off + h.rows * h.row_size

    def put(data, what, wanted=None):
        with open(path, "wb") as f:
            f.write(data)
        if wanted is not None:
            same(what, read_any(path), wanted)

    put(image, "the file itself", True)
    for size in (0, 7, 15, 191, h.strings_off + 1, h.rows_off - 1, h.rows_off, end - 1):
        put(image[:size], "cut at %d" % size, False)
    put(image[:end], "cut behind the rows", True)
    for at, names in ((0, ["magic"]), (8, ["version"]), (12, ["header_size"]), (40, ["desc_off"]),
                      (44, ["ndesc"]), (48, ["strings_off"]), (56, ["rows_off"]), (60, ["row_size"]),
                      (68, ["rows"]), (80, ["program"]), (88, ["desc_size"]), (136, ["tables_off"]),
                      (140, ["tables_len"]), (h.desc_off, ["name"]), (h.desc_off + 12, ["type"]),
                      (h.desc_off + 16, ["cell"]), (h.desc_off + 20, ["cells"]),
                      (h.desc_off + 24, ["labels"])):
        for value in (0x7fffffff, 0xffffffff, 0xfffffff0):
            put(image[:at] + struct.pack("=I", value) + image[at + 4:], "%s %#x" % (names, value), False)
    counts = collections.Counter()
    for _ in range(int(rounds)):
        data = bytearray(image[:end])
        for _ in range(rng.randrange(1, 4)):
            at = rng.choice((rng.randrange(h.rows_off), 8 + rng.randrange(184),
                             h.desc_off + rng.randrange(h.ndesc * h.desc_size)))
            data[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
        if rng.randrange(4) == 0:
            del data[rng.randrange(len(data)):]
        put(data, "mutation")
        counts[read_any(path)] += 1
    if not counts[True] or not counts[False]:
        fail("mutations are too harmless or too harmful: %s" % counts)
    os.unlink(path)
    os.mkfifo(path)
    same("a FIFO", read_any(path), False)
    os.unlink(path)
    os.symlink(good, path)
    same("a symbolic link", read_any(path), False)
    os.unlink(path)
    same("a directory", read_any(directory), False)
    same("nothing", read_any(path), False)
    print("%d mutations read, %d refused" % (counts[True], counts[False]))


def version_1(directory):
    """A file as version 1 had it, of the dead: two counters, a gauge, rows behind the strings."""
    strings = b"\0old\0turns\0level\0level help\0"

    def at(text):
        return strings.index(b"\0" + text + b"\0") + 1 if text else 0

    desc = struct.Struct("=3IBbH4I")
    descs = desc.pack(at(b"turns"), 0, 0, 1, 0, 0, 32, 1, 0, 0) + \
        desc.pack(at(b"level"), 0, at(b"level help"), 2, -2, 0, 40, 1, 0, 0)
    strings_off = 128 + len(descs)
    rows_off = (strings_off + len(strings) + 63) // 64 * 64
    head = struct.pack("=8s2I16sQ13I36x", b"TALLYSEG", 1, 128, os.urandom(16), time.time_ns(), 128, 2,
                       strings_off, len(strings), rows_off, 64, 8, 3, 1, 1, at(b"old"), 0, 32)
    rows = struct.pack("=4QQq16x", 0, 0, 0, 0, 7, -250) + \
        struct.pack("=4QQq16x", 1 << 32 | 77, 0, 0, 0, 1 << 63, 999) + \
        struct.pack("=4QQq16x", 1 << 32 | 78, 0, 0, 0, 1 << 63, 999)
    path = os.path.join(directory, "old.%d.0123456789abcdef.0" % os.geteuid())
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    if not writer.lock_file(fd, fcntl.F_WRLCK):
        fail("no lock")
    os.write(fd, (head + descs + strings).ljust(rows_off, b"\0") + rows)
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    {f.__name__: f for f in (compare_live, compare_wanted, write, interrupt, full, closed, crash,
                             crashed, hostile, version_1)}[sys.argv[1]](*sys.argv[2:])
