#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a history by docs/FORMAT.md alone, and prints every sample as histdump does:

    read_history.py DIR

node series realtime_ns monotonic_ns raw_value flags. It shares no code with tally: where the two
differ, the code or the document is wrong.
"""
import os
import re
import struct
import sys
import zlib

MASK = (1 << 64) - 1


def signed(v):
    v &= MASK
    return v - (1 << 64) if v >> 63 else v


class Bytes:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, n):
        assert self.at + n <= len(self.data), 'truncated'
        self.at += n
        return self.data[self.at - n:self.at]

    def left(self):
        return len(self.data) - self.at

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack('<I', self.take(4))[0]

    def u64(self):
        return struct.unpack('<Q', self.take(8))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def z(self):
        v = self.varint()
        return (v >> 1) ^ -(v & 1)

    def string(self):
        return self.take(self.varint()).decode()

    def piece(self):
        """(stored length, raw length, crc)"""
        return self.varint(), self.varint(), self.u32()


def unpack(piece, stored):
    assert zlib.crc32(stored) == piece[2], 'checksum of a piece'
    raw = stored if piece[0] == piece[1] else zlib.decompress(stored, -15)
    assert len(raw) == piece[1]
    return raw


def message(data):
    """The fields of a protobuf message: {number: [values]}"""
    fields, b = {}, Bytes(data)
    while b.left():
        key = b.varint()
        kind = key & 7
        if kind == 0:
            value = b.varint()
        elif kind == 1:
            value = b.u64()
        else:
            assert kind == 2
            value = b.take(b.varint())
        fields.setdefault(key >> 3, []).append(value)
    return fields


def one(fields, number, default=0):
    return fields.get(number, [default])[-1]


def read_schema(data):
    m = message(data)
    series = []
    for s in m.get(5, []):
        f = message(s)
        name, labels = one(f, 1, b'').decode(), one(f, 2, b'').decode()
        part, kind, metric = one(f, 7), one(f, 6), one(f, 5)
        suffix = {1: '_bucket', 2: '_sum'}.get(part, '_total' if metric == 1 else '')
        series.append((name + suffix + ('{%s}' % labels if labels else ''), kind))
    return {'id': one(m, 1), 'group': one(m, 2, b'').decode(), 'start': one(m, 4), 'series': series}


# --- record files ---------------------------------------------------------------------------------

def records(data, at=0, salt=0):
    while at + 16 <= len(data) and data[at] == 0xa7:
        kind, check, stream, length, crc = struct.unpack_from('<xBHIII', data, at)
        if zlib.crc32(data[at + 4:at + 12], zlib.crc32(data[at:at + 2], salt)) & 0xffff != check:
            return  # a torn tail
        payload = data[at + 16:at + 16 + length]
        if len(payload) < length or zlib.crc32(payload, zlib.crc32(data[at:at + 12], salt)) != crc:
            return
        assert kind < 128, 'a newer version'
        yield kind, stream, payload
        at += 16 + length


class Stream:
    """One node's records; calls emit(...) for each poll of a group."""

    def __init__(self, node):
        self.node, self.inc, self.boot, self.number, self.past = node, 0, b'', 0, set()
        self.schemas, self.current, self.rows = {}, {}, {}
        self.settled = False  # behind the state at the file's start

    def apply(self, kind, payload):
        if kind == 1:
            m = message(payload)
            inc = one(m, 1)
            if inc == self.inc or inc in self.past:
                return
            if self.inc:
                self.past.add(self.inc)
            self.settled = self.inc != 0
            self.inc, self.boot, self.number = inc, one(m, 3, b''), 0
            self.schemas, self.current, self.rows = {}, {}, {}
        elif kind == 2:
            s = read_schema(payload[8:])
            if struct.unpack_from('<Q', payload)[0] != self.inc or \
                    s['id'] <= self.current.get(s['group'], 0):
                return
            self.rows.pop(s['group'], None)
            self.current[s['group']] = s['id']
            self.schemas[s['id']] = s
        elif kind == 3:
            self.snapshot(Bytes(payload))

    def snapshot(self, b):
        inc, number, realtime, monotonic = b.u64(), b.varint(), b.z(), b.varint()
        base, groups = b.u8(), b.varint()
        if inc != self.inc or number < self.number or (number == self.number and not base):
            return
        if not base and number != self.number + 1:
            self.rows = {}
            self.node.gaps += 1
            self.node.jumped = True
        elif not base:
            self.node.jumped = False
        elif number > self.number and self.settled:
            self.node.gaps += 1
        self.settled |= not base
        self.number = number
        for _ in range(groups):
            schema, begin, _window, key = self.schemas[b.varint()], b.varint(), b.varint(), b.u8()
            before = None if key else b.u32()
            row = Bytes(b.take(b.varint()))
            group = schema['group']
            if not key and group in self.rows and row_hash(self.rows[group]) != before:
                del self.rows[group]
            if not key and group not in self.rows:
                continue
            old = [0] * len(schema['series']) if key else self.rows[group]
            self.rows[group] = new = decode_row(row, old, schema['series'])
            if base:
                self.node.seen.setdefault(group, self.node.gaps)
            else:
                self.node.poll(schema['group'], schema['start'], self.boot, inc, number,
                               realtime + begin, monotonic + begin,
                               list(zip((s[0] for s in schema['series']), new)))


def hash_word(lane, word):
    x = ((lane ^ word) * 0x9e3779b97f4a7c15) & MASK
    return (x << 29 | x >> 35) & MASK


def row_hash(row):
    lanes, x = [1, 2, 3, 4], len(row)
    for i, word in enumerate(row):
        lanes[i % 4] = hash_word(lanes[i % 4], word)
    for lane in lanes:
        x = hash_word(x, lane)
    return (x ^ x >> 32) & 0xffffffff


def decode_row(b, old, series):
    new = []
    while b.left():
        z = b.varint()
        if z == 0:
            run = b.varint() + 1
            new += old[len(new):len(new) + run]
        elif series[len(new)][1] == 3:
            new.append(old[len(new)] ^ int.from_bytes(struct.pack('<Q', z), 'big'))
        else:
            new.append((old[len(new)] + ((z >> 1) ^ -(z & 1))) & MASK)
    assert len(new) == len(series)
    return new


# --- sealed files ---------------------------------------------------------------------------------

def decode_gaps(b, m):
    return [b.varint() for _ in range(m)]


def decode_column(b, n):
    """n words, or a tuple for a copy"""
    tag = b.u8()
    if tag == 0:
        return [b.z() & MASK] * n
    if tag == 1:
        base = b.z()
        return [(base + b.varint()) & MASK for _ in range(n)]
    if tag == 2 or tag == 3:
        out, step = [b.z()], 0
        for _ in range(n - 1):
            step = b.z() + (step if tag == 3 else 0)
            out.append(out[-1] + step)
        return [v & MASK for v in out]
    if tag == 4:
        value, m = b.z(), b.varint()
        gaps = decode_gaps(b, m)
        out = [value]
        for gap in gaps:
            out += [out[-1]] * gap
            out.append(out[-1] + b.z())
        out += [out[-1]] * (n - len(out))
        return [v & MASK for v in out]
    if tag == 5:
        return 'copy', b.varint(), b.varint(), b.z(), b.z()
    if tag == 6:
        return [b.u64() for _ in range(n)]
    assert tag == 7
    e, m = b.u8(), b.varint()
    exceptions, at = {}, 0
    for _ in range(m):
        at += b.varint()
        exceptions[at] = b.u64()
        at += 1
    ks = decode_column(b, n)
    words = [struct.unpack('<Q', struct.pack('<d', signed(k) / 10.0 ** e))[0] for k in ks]
    return [exceptions.get(i, w) for i, w in enumerate(words)]


def apply_copies(columns, n):
    for i, c in enumerate(columns):
        if c[0] != 'copy':
            continue
        _, of, g, h, value = c
        base, out = columns[of], [value & MASK]
        for k in range(1, n):
            d = signed(base[k] - base[k - 1])
            assert d % g == 0
            out.append((out[-1] + d // g * h) & MASK)
        columns[i] = out


class Sealed:
    def __init__(self, path, nodes):
        self.data = data = open(path, 'rb').read()
        assert data[:8] == b'TALLYHIS' and data[-32:-24] == b'TALLYEND'
        assert zlib.crc32(data[:28]) == struct.unpack_from('<I', data, 28)[0]
        assert zlib.crc32(data[-32:-4]) == struct.unpack_from('<I', data, len(data) - 4)[0]
        at, stored, raw, crc = struct.unpack_from('<QIII', data, len(data) - 24)
        self.index(Bytes(unpack((stored, raw, crc), data[at:at + stored])), nodes, at)

    def index(self, b, nodes, end):
        pages, described = [], []
        for _ in range(b.varint()):
            piece = b.piece()
            pages.append((piece, [(b.take(16), b.varint(), b.varint())
                                  for _ in range(b.varint())]))
        at = 32
        for _ in range(b.varint()):
            node_id, name = b.take(32), b.string()
            for _ in range(b.varint()):
                b.u64(), b.varint()
            runs = []
            for _ in range(b.varint()):
                inc, _start, boot = b.u64(), b.u64(), b.take(16)
                blocks = []
                for _ in range(b.varint()):
                    what, piece, polls = b.u8(), b.piece(), b.varint()
                    first, last = b.varint(), 0
                    last = first + b.varint()
                    b.z(), b.varint()
                    body, schema, start = (b.varint(), b.varint(), b.u64()) if what == 2 else (0, 0, 0)
                    blocks.append((what, at, piece, polls, first, last, body, schema, start))
                    at += piece[0] + body
                runs.append((inc, boot, blocks))
            described.append((node_id, name, runs))
        self.schemas = []
        for piece, schemas in pages:
            raw = Bytes(unpack(piece, self.data[at:at + piece[0]]))
            at += piece[0]
            for _digest, length, nseries in schemas:
                s = read_schema(raw.take(length))
                assert len(s['series']) == nseries
                self.schemas.append(s)
        assert at == end, 'nothing lies between'
        for node_id, name, runs in described:
            node = nodes.setdefault(node_id, Node(name))
            node.name = name
            for run in runs:
                self.run(node, *run)

    def piece(self, at, piece):
        return Bytes(unpack(piece, self.data[at:at + piece[0]]))

    def run(self, node, inc, boot, blocks):
        clocks, polls = {}, []
        for what, at, piece, n, first, last, body, schema, start in blocks:
            b = self.piece(at, piece)
            assert b.varint() == n
            if what == 1:
                number, monotonic, offset = (decode_column(b, n) for _ in range(3))
                for i in range(n):
                    clocks[number[i]] = signed(offset[i] + monotonic[i]), monotonic[i]
            else:
                polls.append((at + piece[0], b, n, schema, start, first, last))
        numbers = sorted(clocks)
        gap_before = node.end and numbers[0] > (node.end[1] if node.end[0] == inc else 0) + 1
        node.end = inc, numbers[-1]
        for at, b, n, schema, start, first, last in polls:
            self.group(node, inc, boot, clocks, at, b, n, self.schemas[schema], start, gap_before)

    def group(self, node, inc, boot, clocks, at, b, n, schema, start, gap_before):
        number, begin, _window, gap = (decode_column(b, n) for _ in range(4))
        columns, nseries = [], len(schema['series'])
        for first in range(0, nseries, 32):
            piece = b.piece()
            bundle = self.piece(at, piece)
            at += piece[0]
            columns += [decode_column(bundle, n) for _ in range(min(32, nseries - first))]
            assert not bundle.left()
        assert not b.left()
        apply_copies(columns, n)
        names = [s[0] for s in schema['series']]
        for i in range(n):
            key = schema['group'], inc
            early = gap_before and key not in node.polled
            node.polled.add(key)
            realtime, monotonic = clocks[number[i]]
            node.sample(schema['group'], start, boot, inc, number[i], realtime + begin[i],
                        monotonic + begin[i], [(names[k], columns[k][i]) for k in range(nseries)],
                        bool(gap[i]) or early)


# --- samples --------------------------------------------------------------------------------------

class Node:
    def __init__(self, name):
        self.name, self.samples, self.before = name, {}, {}
        self.end, self.polled = None, set()         # sealed files
        self.gaps, self.jumped, self.seen = 0, False, {}  # heads
        self.hole, self.live = None, set()  # between sealed files and heads

    def poll(self, group, start, boot, inc, number, *rest):
        if self.hole is None:
            last = self.end[1] if self.end and self.end[0] == inc else 0
            self.hole = bool(self.end) and number > last + 1
        gap = self.seen[group] != self.gaps if group in self.seen else self.jumped
        gap |= self.hole and group not in self.live
        self.seen[group] = self.gaps
        self.live.add(group)
        self.sample(group, start, boot, inc, number, *rest, gap)

    def sample(self, group, start, boot, inc, number, realtime, monotonic, values, gap):
        for series, value in values:
            before = self.before.get((group, series))
            if before and before[0] == inc and number <= before[1]:
                continue
            reset = before and before[2:] != (start, boot)
            self.before[group, series] = inc, number, start, boot
            flags = ('R' if reset else '') + ('G' if gap else '') or '-'
            self.samples.setdefault((series, group), []).append(
                f'{realtime} {monotonic & MASK} {value} {flags}')


def read_head(path, nodes):
    data, streams = open(path, 'rb').read(), {}
    assert data[:8] == b'TALLYREC' and zlib.crc32(data[:28]) == struct.unpack_from('<I', data, 28)[0]
    for kind, stream, payload in records(data, 32, struct.unpack_from('<I', data, 24)[0]):
        if kind == 4:
            b = Bytes(payload)
            node_id, name = b.take(32), b.string()
            node = nodes.setdefault(node_id, Node(name))
            node.name = name
            s = streams.setdefault(stream, Stream(node))
            for _ in range(b.varint()):
                s.past.add(b.u64())
                b.varint()
        elif kind == 5:
            b = Bytes(payload)
            piece = b.piece()
            for k, _, p in records(unpack(piece, b.take(piece[0]))):
                streams[stream].apply(k, p)
        else:
            streams[stream].apply(kind, payload)


def main():
    names, nodes = os.listdir(sys.argv[1]), {}
    sealed = sorted(int(n[:-4]) for n in names if re.fullmatch(r'\d{8,}\.tly', n))
    heads = sorted(int(n[5:-4]) for n in names if re.fullmatch(r'head-\d{8,}\.rec', n))
    for number in sealed:
        Sealed(f'{sys.argv[1]}/{number:08}.tly', nodes)
    for number in heads:
        if number not in sealed:
            read_head(f'{sys.argv[1]}/head-{number:08}.rec', nodes)
    for node in nodes.values():
        for (series, _group), samples in sorted(node.samples.items()):
            for sample in samples:
                print(node.name, series, sample)


main()
