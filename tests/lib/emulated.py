#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a program on a user-mode emulator and tells the emulator's own failures from the program's.

	emulated.py SECONDS STDOUT STDERR EMULATOR PROGRAM [ARGUMENT]...

qemu-user 7.2 does not carry its own locks over the fork of a program with threads: a child may wait for
ever for one that no thread of it holds, or die of an assertion that names a file of the emulator. Such a
lock lies in the emulator's image, where no address of the program can be. A run has failed by the
emulator's fault when all threads of all its processes wait, twice in the same way, and nothing but such
locks and each other's ends; or when it did not end, and has said that such an assertion failed.

Exits like the program (128 + N after signal N), with 75 if the emulator failed, with 124 if the program did
not end in SECONDS. No process of it is left in any case.
"""
import glob
import os
import re
import signal
import subprocess
import sys
import time

EMULATOR_FAILED, TOO_LONG = 75, 124
# of this machine, x86-64: the emulator's own calls
SYS_WAIT4, SYS_FUTEX, SYS_WAITID = 61, 202, 247


def image(pid, emulator):
	"""First and last address of the emulator's own code and data, with the data that no file has."""
	low = high = None
	with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
		for line in maps:
			begin, end = (int(word, 16) for word in line.split()[0].split("-"))
			name = line.split(maxsplit=5)[5].strip() if len(line.split()) > 5 else ""
			if name == emulator:
				low, high = begin if low is None else low, end
			elif begin == high and name == "":
				high = end
	return low, high


def waits(group, emulator):
	"""What each thread of the group waits for, and whether all that is the emulator's own lock.

	Returns (None, False) if any thread runs, or waits for something else.
	"""
	seen, locked = [], False
	for task in glob.glob("/proc/[0-9]*/task/[0-9]*"):
		pid, tid = task.split("/")[2], task.split("/")[4]
		try:
			if os.getpgid(int(pid)) != group:
				continue
			with open(f"{task}/stat", encoding="ascii", errors="replace") as file:
				if file.read().rsplit(")", 1)[1].split()[0] == "Z":
					continue
			with open(f"{task}/syscall", encoding="ascii") as file:
				call = file.read().split()
			if call[0] in ("running", "-1"):
				return None, False
			if int(call[0]) == SYS_FUTEX:
				low, high = image(pid, emulator)
				if low is None or not low <= int(call[1], 16) < high:
					return None, False
				locked = locked or pid == tid
			elif int(call[0]) not in (SYS_WAIT4, SYS_WAITID):
				return None, False
		except (FileNotFoundError, ProcessLookupError):
			return None, False
		seen.append((tid, call))
	return sorted(seen), locked


def main():
	seconds, stdout, stderr, command = float(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
	emulator = os.path.realpath(subprocess.check_output(["which", command[0]], text=True).strip())
	with open(stdout, "wb") as out, open(stderr, "wb") as err:
		child = subprocess.Popen(command, stdout=out, stderr=err, start_new_session=True)
	deadline = time.monotonic() + seconds
	before, code = None, None
	while code is None:
		try:
			code = child.wait(0.5)
		except subprocess.TimeoutExpired:
			now, locked = waits(child.pid, emulator)
			if locked and now == before:
				code = EMULATOR_FAILED
			elif time.monotonic() > deadline:
				code = TOO_LONG
			before = now
	try:
		os.killpg(child.pid, signal.SIGKILL)
	except ProcessLookupError:
		pass
	child.wait()
	if code != 0:
		with open(stderr, encoding="ascii", errors="replace") as err:
			if re.search(r"^ERROR:\.\./\.\./", err.read(), re.M):
				code = EMULATOR_FAILED
	sys.exit(128 - code if code < 0 else code)


main()
