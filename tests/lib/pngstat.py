#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""pngstat.py FILE RRGGBB: size of a picture, and the columns in which a colour is seen, as ranges.

Prints "WIDTHxHEIGHT FROM-TO FROM-TO ...". Ten levels around the colour count too, and up to nine columns
without it don't end a range: smoothed edges are paler.
"""
import struct
import sys
import zlib


def unfilter(kind, line, above, bpp):
    for i in range(len(line)):
        left = line[i - bpp] if i >= bpp else 0
        up = above[i]
        corner = above[i - bpp] if i >= bpp else 0
        if kind == 1:
            line[i] = (line[i] + left) & 255
        elif kind == 2:
            line[i] = (line[i] + up) & 255
        elif kind == 3:
            line[i] = (line[i] + (left + up) // 2) & 255
        elif kind == 4:
            guess = left + up - corner
            near = min((left, up, corner), key=lambda v: abs(guess - v))
            line[i] = (line[i] + near) & 255
    return line


def read(path):
    data = open(path, "rb").read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + size:at + 12 + size])[0]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and interlace == 0
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    bpp = 3 if colour == 2 else 4
    raw = zlib.decompress(packed)
    lines, above = [], bytearray(width * bpp)
    for y in range(height):
        start = y * (width * bpp + 1)
        above = unfilter(raw[start], bytearray(raw[start + 1:start + 1 + width * bpp]), above, bpp)
        lines.append(above)
    return width, height, bpp, lines


def main():
    width, height, bpp, lines = read(sys.argv[1])
    wanted = bytes.fromhex(sys.argv[2])
    columns = [any(max(abs(line[x * bpp + i] - wanted[i]) for i in range(3)) <= 10 for line in lines)
               for x in range(width)]
    ranges = []
    for x in (x for x, seen in enumerate(columns) if seen):
        if ranges and x - ranges[-1][1] < 10:
            ranges[-1][1] = x
        else:
            ranges.append([x, x])
    print(f"{width}x{height}", *(f"{first}-{last}" for first, last in ranges))


main()
