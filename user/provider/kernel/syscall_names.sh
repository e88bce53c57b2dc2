#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Reads the preprocessor's macros (cc -E -dM) and prints 512 C strings, the names of the system calls 0 to 511:
# what has no name is its number, and the last one is "other". A macro may stand for another.
exec awk '
	$1 == "#define" && $2 ~ /^__NR/ { macro[$2] = $3 }
	END {
		for (m in macro) {
			n = macro[m] in macro ? macro[macro[m]] : macro[m]
			if (m ~ /^__NR_/ && n ~ /^[0-9]+$/ && m !~ /^__NR_(syscalls|syscall_|arch_specific)/)
				name[n + 0] = substr(m, 6)
		}
		for (i = 0; i < 512; i++)
			printf "\"%s\",\n", i == 511 ? "other" : i in name ? name[i] : i
	}'
