#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Somebody's program finds the installed header by pkg-config, CMake and meson, and the sources as a folder of
# its own tree. Nothing of the machine's is looked at, and nothing is fetched.
. tests/lib/e2e.sh
need pkg-config cmake meson ninja

src=tests/abi/src/package
version=$(sed -n 's/^#define TALLY_VERSION_TEXT "\(.*\)"/\1/p' user/lib/conf.h)
prefix=$T/opt/tally
unset CMAKE_PREFIX_PATH PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR CPATH C_INCLUDE_PATH

install_to()
{
	make --no-print-directory B="$B" "$@" install-headers >"$T/install.log" 2>&1 ||
		fail "make install-headers $*"
}

# runs WHAT PROGRAM: it says ok, and its counter is in a segment
runs()
{
	rm -rf "$T/seg" && mkdir "$T/seg"
	same "$1" "$(TALLY_DIR=$T/seg "$2")" ok
	contains "$1: its segment" "$(ls "$T/seg")" '^program\.'
}

copy_source()
{
	rm -rf "$T/src" "$T/out" && mkdir "$T/src" && cp "$src"/* "$T/src"
}

install_to PREFIX="$prefix"
same "what the version is" "$version" "$(PKG_CONFIG_LIBDIR=$prefix/share/pkgconfig pkg-config --modversion tally)"
same "headers" "$(ls "$prefix/include/tally")" "$(cd include/tally && ls -- *.h LICENSE)"

# pkg-config: as installed, and in a DESTDIR that is the root of another system
copy_source
export PKG_CONFIG_LIBDIR=$prefix/share/pkgconfig
pkg-config --validate tally || fail "tally.pc"
# shellcheck disable=SC2046
cc -std=c11 $(pkg-config --cflags --libs tally) "$T/src/program.c" -o "$T/program" || fail "pkg-config"
runs "pkg-config" "$T/program"
install_to DESTDIR="$T/root" PREFIX=/opt/tally
same "cflags below a DESTDIR" "$(PKG_CONFIG_LIBDIR=$T/root/opt/tally/share/pkgconfig \
	PKG_CONFIG_SYSROOT_DIR=$T/root pkg-config --cflags tally | sed 's/ *$//')" "-I$T/root/opt/tally/include"

# CMake: installed, moved to another place, as a folder; and with versions that are not there
cmake_builds()
{
	local what=$1
	shift
	copy_source
	cmake -S "$T/src" -B "$T/out" "$@" >"$T/cmake.log" 2>&1 || fail "cmake: $what"
	cmake --build "$T/out" >>"$T/cmake.log" 2>&1 || fail "cmake --build: $what"
	runs "cmake: $what" "$T/out/program"
}
cmake_refuses()
{
	copy_source
	cmake -S "$T/src" -B "$T/out" -DCMAKE_PREFIX_PATH="$prefix" "-DWANTED=$1" >"$T/refused" 2>&1 &&
		fail "cmake takes $version for $1"
	contains "cmake: $1" "$(cat "$T/refused")" "version: $version"
}
cmake_builds "installed" -DCMAKE_PREFIX_PATH="$prefix"
contains "cmake's version" "$(cat "$T/cmake.log")" "^-- tally $version\$"
cmake_builds "the version that there is" -DCMAKE_PREFIX_PATH="$prefix" "-DWANTED=$version"
cmake_builds "its series" -DCMAKE_PREFIX_PATH="$prefix" "-DWANTED=${version%.*}"
cmake_builds "moved" -DCMAKE_PREFIX_PATH="$T/root/opt/tally"
cmake_builds "a folder" -DTALLY_SOURCES="$PWD/include"
cmake_refuses "${version%.*}.99"
cmake_refuses 99.0
cmake_refuses 0.0.1

# meson: by pkg-config, and by a folder below subprojects
meson_builds()
{
	meson setup "$T/out" "$T/src" --wrap-mode=nodownload >"$T/meson.log" 2>&1 || fail "meson: $1"
	ninja -C "$T/out" >>"$T/meson.log" 2>&1 || fail "ninja: $1"
	runs "meson: $1" "$T/out/program"
}
copy_source
meson_builds "installed"
contains "meson's version" "$(cat "$T/meson.log")" "tally found: YES $version"
copy_source
mkdir "$T/src/subprojects" && cp -r include "$T/src/subprojects/tally"
export PKG_CONFIG_LIBDIR=$T/none
meson_builds "a folder"
contains "meson's version of the folder" "$(cat "$T/meson.log")" "subprojects/tally found: YES $version"
pass
