#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The modules on Debian's kernels, from the oldest that they support to the newest there is: each boots in an
# emulated machine, where every module is loaded by the real tallyd, and the tests of this folder make known
# work and compare. What a kernel lacks is printed as a table, which `make check-kernels` keeps in
# docs/kernels.md. A test that skips itself there has failed, but for those that tests/skips.txt has as vm/TEST.
#
# Kernels come from Debian's archive, as this machine's own package sources name it, into $B/kernels. The
# system's package lists stay as they are. Time in an emulated machine is not real: TALLY_EMULATED tells the
# tests not to compare clocks.
#
# Time limit: 600 s
. tests/lib/e2e.sh
. tests/lib/skips.sh
PATH=$PATH:/usr/sbin
need gcc qemu-system-x86_64 busybox cpio apt-get dpkg tar xz mkfs.ext4
ALL="5.10 6.1 6.12 6.18 7"
SERIES=${KERNELS:-$ALL} # KERNELS="6.1 7" runs some, and TESTS="test_tcp test_udp" these tests only
LIMIT=300
FASTER="mitigations=off init_on_alloc=0 audit=0 apparmor=0" # what costs most where all is emulated
K=$B/kernels
mkdir -p "$K"

# --- kernels ---------------------------------------------------------------------------------------

# The machine's package sources, with the releases that have the other kernels.
sources()
{
	local main="bookworm bullseye trixie-backports" security="bookworm-security bullseye-security"
	local file suite
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -f "$file" ] || continue
		sed -e "s/^Suites:.*-security.*/Suites: $security/" \
			-e "/-security/! s/^Suites:.*bookworm.*/Suites: $main/" "$file" >"$K/sources.d/${file##*/}"
	done
	[ -f /etc/apt/sources.list ] || return
	for suite in $main; do
		sed -n "s/^\(deb .*\) bookworm \(.*\)/\1 $suite \2/p" /etc/apt/sources.list
	done >"$K/sources.d/main.list"
	for suite in $security; do
		sed -n "s/^\(deb .*\) bookworm-security \(.*\)/\1 $suite \2/p" /etc/apt/sources.list
	done >"$K/sources.d/security.list"
}

# The lists, and in $K/names what there is of Linux: apt-cache reads all lists each time that it is asked.
package_lists()
{
	[ -e "$K/names" ] && return
	mkdir -p "$K/sources.d" "$K/lists/partial" "$K/cache/archives/partial"
	sources
	cat >"$K/apt.conf" <<-TEXT
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$K/sources.d";
		Dir::State::lists "$K/lists";
		Dir::Cache "$K/cache";
		Acquire::Languages "none";
		Acquire::Retries "3";
		APT::Sandbox::User "$(id -un)";
	TEXT
	APT_CONFIG=$K/apt.conf apt-get update >"$T/apt.log" 2>&1 || fail "apt-get update"
	APT_CONFIG=$K/apt.conf apt-cache pkgnames linux- >"$K/names.new" || fail "apt-cache pkgnames"
	mv "$K/names.new" "$K/names"
}

# newest KIND SERIES: the newest package of linux-KIND-SERIES...-cloud-amd64, nothing if there is none
newest()
{
	grep -E "^linux-$1-${2//./\\.}\.[0-9.-]*(\+deb1[23])?-cloud-amd64\$" "$K/names" | sort -V | tail -n 1
}

# Puts the packages of all kernels that are not there yet to $K/debs.
fetch()
{
	local series image packages=
	for series in $SERIES; do
		[ ! -e "$K/$series/done" ] || continue
		package_lists
		image=$(newest binary "$series")
		[ -n "$image" ] || image=$(newest image "$series")
		[ -n "$image" ] || fail "no kernel $series in Debian's archive"
		packages+="$image $(newest modules "$series") " # there may be no package of modules
	done
	[ -n "$packages" ] || return 0
	rm -rf "$K/debs"
	mkdir -p "$K/debs"
	# shellcheck disable=SC2086 # a list
	(cd "$K/debs" && APT_CONFIG=$K/apt.conf apt-get download $packages) >>"$T/apt.log" 2>&1 ||
		fail "apt-get download $packages"
}

# Puts a kernel to $K/SERIES/vmlinuz, the driver of loop devices to $K/SERIES/loop.ko.
unpack()
{
	local series=$1 dir=$K/$1 deb vmlinuz loop
	[ ! -e "$dir/done" ] || return 0
	rm -rf "$dir"
	mkdir -p "$dir/files"
	for deb in "$K/debs"/linux-*-"$series".*.deb; do
		# not to the end of the archive, once both are found
		dpkg --fsys-tarfile "$deb" 2>/dev/null | tar -x -C "$dir/files" --occurrence=1 --wildcards \
			'*/vmlinuz*' '*/loop.ko*' 2>/dev/null
		rm "$deb"
	done
	vmlinuz=$(find "$dir/files" -name 'vmlinuz*' | head -n 1)
	loop=$(find "$dir/files" -name 'loop.ko*' | head -n 1)
	[ -n "$vmlinuz" ] && [ -n "$loop" ] || fail "kernel $series: no kernel or no loop.ko in its packages"
	mv "$vmlinuz" "$dir/vmlinuz"
	case $loop in
	*.xz) xz -dc "$loop" >"$dir/loop.ko" ;;
	*) mv "$loop" "$dir/loop.ko" ;;
	esac
	rm -rf "$dir/files"
	: >"$dir/done"
}

# --- machines --------------------------------------------------------------------------------------

MODULES="$("$B/tests/lib/metricdoc" --modules) ended tasks cgroup"
TWO_CPUS="test_migrations|test_cgroup_sched" # they come last, and a second CPU is taken in for them
TESTS=${TESTS:-$(cd "$B/tests/kernel" && for test in test_*; do case $test in *.*) ;; *) echo "$test" ;; esac; done)}

in_order()
{
	printf '%s\n' $TESTS | grep -v -x -E "$TWO_CPUS"
	echo second-cpu
	printf '%s\n' $TESTS | grep -x -E "$TWO_CPUS"
}

init()
{
	cat <<-'TEXT'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		export PATH=/bin:/t TALLY_EMULATED=1
		mount -t proc none /proc
		mount -t sysfs none /sys
		mount -t devtmpfs none /dev
		mount -t tmpfs none /tmp
		mkdir -p /dev/shm
		mount -t tmpfs none /dev/shm
		mount -t cgroup2 none /sys/fs/cgroup
		ip link set lo up
		insmod /loop.ko
		echo "KERNEL $(uname -r)"
	TEXT
	echo "MODULES='$(echo $MODULES)'"
	cat <<-'TEXT'
		/t/tallyd --once --state-dir=/tmp $MODULES >/tmp/modules 2>/tmp/err
		for m in $MODULES; do
			sed -n "s/.*tallyd: [a-z]*: producer $m:* */LACKS $m /p" /tmp/err
			grep -q "^# $m: " /tmp/modules
			echo "MODULE $m $?"
		done
	TEXT
	echo "for t in $(in_order | tr '\n' ' '); do"
	cat <<-'TEXT'
			start=$(cut -d' ' -f1 /proc/uptime)
			export TALLY_LOADS=$(grep -o -m 1 "^# ${t#test_}: " /tmp/modules | tr -d '#: ')
			[ $t != second-cpu ] || { echo 1 >/sys/devices/system/cpu/cpu1/online; continue; }
			for try in 1 2 3; do
				timeout 60 /t/$t >/tmp/out 2>&1
				code=$?
				[ $code = 0 ] && break
				# a program that was not run for all that happened can't count it: once more
				grep -q ' events missed$' /tmp/out || break
				echo "MISSED $t: $(grep ' events missed$' /tmp/out | tr '\n' ' ')"
			done
			echo "TOOK $t $start $(cut -d' ' -f1 /proc/uptime)"
			sed -n "s/^tests: /RAN $t /p; s/^skipped /SKIPPED $t /p" /tmp/out
			[ $code = 0 ] || sed "s/^/    $t: /" /tmp/out
			echo "TEST $t $code"
		done
		echo "ENDED $(cut -d. -f1 /proc/uptime)"
		poweroff -f
	TEXT
}

# Criterion shows differences with a library that brings fifteen others, and to link them takes half of a test's
# time where all is emulated: it gets one that does nothing.
make_stand_in()
{
	mkdir -p "$T/stand-in" "$1"
	echo 'int git_libgit2_init(void) { return 1; }
		int git_libgit2_shutdown(void) { return 0; }
		int git_diff_buffers(void) { return -1; }' |
		gcc -shared -fPIC -x c - -Wl,-soname,libgit2.so.1.5 -o "$T/stand-in/libgit2.so.1.5" ||
		fail "the stand-in for libgit2"
	cp "$T/stand-in/libgit2.so.1.5" "$1/"
}

# The programs with all their libraries, and what makes file systems for tests; the rest of a system is busybox.
make_root()
{
	local root=$T/root program library
	mkdir -p "$root"/{bin,proc,sys,dev,tmp,t,etc,run}
	make_stand_in "$root/lib/x86_64-linux-gnu"
	cp "$(command -v busybox)" "$root/bin/"
	cp "$B/bin/tallyd" "$(command -v mkfs.ext4)" "$root/t/"
	for program in $TESTS; do
		cp "$B/tests/kernel/$program" "$root/t/"
	done
	for program in "$root"/t/*; do
		LD_LIBRARY_PATH=$T/stand-in ldd "$program" | grep -v stand-in |
			awk '$3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }'
	done | sort -u | while read -r library; do
		mkdir -p "$root${library%/*}"
		cp -L "$library" "$root$library"
	done
	cp /etc/mke2fs.conf "$root/etc/"
	printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
	init >"$root/init"
	chmod 755 "$root/init"
	(cd "$root" && find . | cpio -o -H newc --owner=0:0 2>/dev/null) >"$T/root.cpio"
}

# The driver of loop devices comes in a second archive, which the kernel unpacks over the first.
boot()
{
	local series=$1
	mkdir -p "$T/$series"
	cp "$K/$series/loop.ko" "$T/$series/"
	(cd "$T/$series" && echo loop.ko | cpio -o -H newc --owner=0:0 2>/dev/null | cat "$T/root.cpio" -) \
		>"$T/$series.initrd"
	timeout "$LIMIT" qemu-system-x86_64 -accel tcg,thread=multi -cpu Nehalem -smp 2 -M q35 -m 768 \
		-nodefaults -no-reboot -display none -serial stdio -kernel "$K/$series/vmlinuz" \
		-initrd "$T/$series.initrd" \
		-append "console=ttyS0 quiet loglevel=0 panic=-1 maxcpus=1 $FASTER rdinit=/init" </dev/null 2>&1 |
		tr -d '\r' | tee "$K/$series/vm.log" >"$T/vm-$series.log"
}

# --- what came out -----------------------------------------------------------------------------------

# Says what is wrong with a kernel's tests and modules, with what a test that failed has printed.
check_kernel()
{
	local log=$T/vm-$1.log name skips wrong=0
	if ! grep -q '^ENDED' "$log"; then
		tail -n 5 "$log"
		echo "kernel $1 did not come to its end in $LIMIT s"
		return 1
	fi
	for name in $TESTS; do
		skips=$(sed -n "s/^SKIPPED $name /skipped /p" "$log" | unknown_skips "vm/$name")
		[ -z "$skips" ] && grep -q "^TEST $name 0$" "$log" && grep -q "^RAN $name [1-9]" "$log" && continue
		# a kernel that lacks what a module needs can't test it
		grep -q "^TEST $name 77$" "$log" && { grep -q "^LACKS ${name#test_} " "$log" ||
			skip_is_known "vm/$name" "$(sed -n "s/^    $name: //p" "$log" | tail -n 1)"; } && continue
		grep "^    $name: " "$log" | tail -n 12
		echo "kernel $1: $(grep "^TEST $name " "$log" || echo "$name did not run")" \
			"${skips:+unexpected skip: $skips}"
		wrong=1
	done
	for name in $MODULES; do
		grep -q "^MODULE $name 0$" "$log" || grep -q "^LACKS $name " "$log" && continue
		echo "kernel $1: module $name says neither that it works nor what is lacking"
		wrong=1
	done
	return $wrong
}

table()
{
	local series
	echo "# Kernels"
	echo
	echo "\`make check-kernels\` boots each of these in an emulated machine, loads all modules and the producers"
	echo "\`ended\`, \`tasks\` and \`cgroup\` with \`tallyd\`, and runs \`tests/kernel\` there: known work,"
	echo "compared with what the kernel counts itself."
	echo "What follows is what it printed last."
	echo
	echo "| kernel | modules that work | what is lacking |"
	echo "|---|---|---|"
	for series in $SERIES; do
		awk '/^KERNEL/ { kernel = $2 }
			/^MODULE/ && $3 == 0 { works = works (works ? ", " : "") $2 }
			/^LACKS/ { sub(/^LACKS /, ""); lacks = lacks (lacks ? "; " : "") $0 }
			END { print "| " kernel " | " works " | " (lacks ? lacks : "nothing") " |" }' \
			"$T/vm-$series.log"
	done
}

without_versions()
{
	sed 's/^| [0-9][^|]* |/|/' "$1"
}

fetch
make_root
start=$SECONDS
machines=()
for series in $SERIES; do # all at once, also with fewer CPUs: tests sleep, too
	{ unpack "$series" && boot "$series"; } &
	machines+=($!)
done
ended=yes
for machine in "${machines[@]}"; do
	wait "$machine" || ended=no # which has said why
done
[ "$ended" = yes ] || exit 1
failed=
for series in $SERIES; do
	echo "$series: $(grep ^KERNEL "$T/vm-$series.log"), $(grep ^ENDED "$T/vm-$series.log") s," \
		"$(awk '/^RAN/ { ran += $3; skipped += $5; out += $7 }
			END { print ran " tests ran, " skipped " skipped, " out " left out" }' "$T/vm-$series.log")"
	grep '^MISSED' "$T/vm-$series.log"
	check_kernel "$series" || failed+=" $series"
done
echo "$((SECONDS - start)) s for all"
table >"$T/kernels.md"
[ -z "$failed" ] || { echo "FAIL: kernels$failed" && exit 1; } # the logs of all say nothing more
if [ -n "${KERNELS_TABLE:-}" ]; then
	cp "$T/kernels.md" "$KERNELS_TABLE"
elif [ "$SERIES" = "$ALL" ]; then # but for the versions, which Debian raises
	diff <(without_versions docs/kernels.md) <(without_versions "$T/kernels.md") ||
		fail "docs/kernels.md is not current: make check-kernels"
fi
pass
