# SPDX-License-Identifier: GPL-2.0-or-later
# tally. Everything that is made goes to $(B), "build" unless told otherwise. `make help` lists targets.

B      ?= build
ifeq ($(strip $(B)),)
$(error B, the build directory, is empty)
endif
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
CC     ?= gcc
CLANG  ?= clang
BPFTOOL ?= /usr/sbin/bpftool
CFLAGS ?= -O2 -g

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef \
	-Wvla -Wformat=2 -Wno-unused-parameter -Wno-missing-field-initializers
ALL_CFLAGS := -std=gnu11 $(WARN) -D_GNU_SOURCE -I. -I$(B)/gen -Iinclude -MMD -MP $(CFLAGS)

LDLIBS_lib      := -lprotobuf-c -linih -lssl -lcrypto -lz
LDLIBS_tallyd   := -lbpf -lelf -levent_openssl -levent_core -levent_extra $(LDLIBS_lib)
LDLIBS_gatherer := -levent_openssl -levent_core -levent_extra $(LDLIBS_lib) -lm -lpthread
LDLIBS_tally    := -lcairo -lm $(LDLIBS_lib) -lpthread
LDLIBS_munin    := $(LDLIBS_lib) -lm -lpthread

# A program's main file is named after it; the other files of its folder are linked into the tests too.
LIB_SRC      := $(wildcard user/lib/*.c)
STORE_SRC    := $(wildcard gatherer/store/*.c)
PROVIDER_SRC := $(filter-out user/provider/tallyd.c,$(wildcard user/provider/*.c user/provider/kernel/*.c))
GATHERER_SRC := $(filter-out gatherer/tally-gatherer.c,$(wildcard gatherer/*.c))
TOOLS_SRC    := $(filter-out tools/tally.c tools/munin.c,$(wildcard tools/*.c))
BPF_SRC      := $(wildcard bpf/*.bpf.c tests/kernel/*.bpf.c tests/bench/*.bpf.c)
TEST_SRC     := $(wildcard tests/unit/test_*.c tests/model/test_*.c tests/fault/test_*.c \
		tests/race/test_*.c tests/fuzz/test_*.c tests/kernel/test_*.c)
BENCH_SRC    := $(wildcard tests/bench/bench_*.c)
EXAMPLE_SRC  := $(wildcard tools/examples/*.c)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
LIB := $(B)/lib/libtally.a
STORE := $(B)/lib/libstore.a
PROVIDER := $(B)/lib/libprovider.a
GATHERER := $(B)/lib/libgatherer.a
TOOLS := $(B)/lib/libtools.a

PROGRAMS := $(addprefix $(B)/bin/,tally tallyd tally-gatherer tally-munin)
EXAMPLES := $(patsubst tools/examples/%.c,$(B)/examples/%,$(EXAMPLE_SRC)) \
	$(patsubst tools/demo/%.c,$(B)/demo-bin/%,$(wildcard tools/demo/*.c))
TESTS    := $(patsubst %.c,$(B)/%,$(TEST_SRC))
BENCHES  := $(patsubst %.c,$(B)/%,$(BENCH_SRC))

export B CC CLANG BPFTOOL

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS) $(EXAMPLES) ## build the programs and examples to build/ (default)

# --- generated ---------------------------------------------------------------------------------
$(B)/gen/user/lib/wire.pb-c.c: user/lib/wire.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(B)/gen $<
$(B)/gen/user/lib/wire.pb-c.h: $(B)/gen/user/lib/wire.pb-c.c ;

# Freestanding: clang's own stdint.h, which does not look for the machine's libc.
# Unused parameters: BPF_PROG() names all that a tracepoint has.
BPF_CFLAGS := -target bpf -mcpu=v3 -ffreestanding -O2 -g -Wall -Wextra -Wno-unused-parameter -I.
SKELETONS := $(patsubst %.bpf.c,$(B)/gen/%.skel.h,$(BPF_SRC))
$(B)/obj/%.bpf.o: %.bpf.c $(wildcard bpf/*.h tests/kernel/*.h) include/tally/histogram.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@.full
	$(BPFTOOL) gen object $@ $@.full
$(B)/gen/%.skel.h: $(B)/obj/%.bpf.o
	@mkdir -p $(@D)
	$(BPFTOOL) gen skeleton $< name $(notdir $*)_bpf > $@

# --- objects and libraries -----------------------------------------------------------------------
$(B)/obj/%.o: %.c | $(B)/gen/user/lib/wire.pb-c.h $(SKELETONS)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@
$(B)/obj/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -w -c $< -o $@

$(LIB): $(call obj,$(LIB_SRC)) $(B)/obj/gen/user/lib/wire.pb-c.o
$(STORE): $(call obj,$(STORE_SRC))
$(PROVIDER): $(call obj,$(PROVIDER_SRC))
$(GATHERER): $(call obj,$(GATHERER_SRC))
$(TOOLS): $(call obj,$(TOOLS_SRC))
$(B)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^

link = @mkdir -p $(@D); echo "link $@"; $(CC) $(CFLAGS) $(LDFLAGS) -o $@
$(B)/bin/tallyd: $(B)/obj/user/provider/tallyd.o $(PROVIDER) $(LIB)
	$(link) $^ $(LDLIBS_tallyd)
$(B)/bin/tally-gatherer: $(B)/obj/gatherer/tally-gatherer.o $(GATHERER) $(STORE) $(LIB)
	$(link) $^ $(LDLIBS_gatherer)
$(B)/bin/tally: $(B)/obj/tools/tally.o $(TOOLS) $(STORE) $(LIB)
	$(link) $^ $(LDLIBS_tally)
$(B)/bin/tally-munin: $(B)/obj/tools/munin.o $(TOOLS) $(STORE) $(LIB)
	$(link) $^ $(LDLIBS_munin)

# Examples are compiled as applications are: nothing but the header, no library of ours.
APP = @mkdir -p $(@D); echo "app $@"; $(CC) -std=c11 -Wall -Wextra -Wpedantic -Wconversion $(CFLAGS) \
	-Iinclude $< -o $@ -pthread
$(B)/examples/%: tools/examples/%.c $(wildcard include/tally/*.h)
	$(APP)
$(B)/demo-bin/%: tools/demo/%.c $(wildcard include/tally/*.h)
	$(APP) -D_GNU_SOURCE -lm

# Names of system calls as this machine's C library has them: one line for each number, by struct module_metric.
$(B)/gen/user/provider/kernel/syscall_names.h: user/provider/kernel/syscall_names.sh
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -E -dM -include sys/syscall.h -x c /dev/null | sh $< >$@.new
	@mv $@.new $@
$(B)/obj/user/provider/kernel/syscalls.o: $(B)/gen/user/provider/kernel/syscall_names.h

# --- tests and benchmarks --------------------------------------------------------------------------
TEST_LIBS = $(TOOLS) $(GATHERER) $(PROVIDER) $(STORE) $(LIB)
$(TESTS): $(B)/tests/%: $(B)/obj/tests/%.o $(B)/obj/tests/lib/ran.o $(TEST_LIBS)
	$(link) $< $(B)/obj/tests/lib/ran.o $(TEST_LIBS) $(TEST_LIBS) -lcriterion $(LDLIBS_tallyd) $(LDLIBS_gatherer) -lm
$(BENCHES): $(B)/tests/%: $(B)/obj/tests/%.o $(TEST_LIBS)
	$(link) $< $(TEST_LIBS) $(TEST_LIBS) $(LDLIBS_tallyd) $(LDLIBS_gatherer) -lm

# Peers that benchmarks run: linked with packages of section [bench], and with nothing of ours.
PEERS := $(addprefix $(B)/tests/bench/peer_,pcp pcpsystem scrape varnish)
$(B)/tests/bench/peer_%: tests/bench/peer_%.c tests/bench/peer.h tests/bench/peer_pcp.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARN) -D_GNU_SOURCE -I. $(CFLAGS) $< -o $@ $(LDLIBS_peer)
$(B)/tests/bench/peer_pcp: LDLIBS_peer := -lpcp_mmv -lpcp
$(B)/tests/bench/peer_pcpsystem: LDLIBS_peer := -lpcp
$(B)/tests/bench/peer_scrape: tests/bench/peer_scrape.cc tests/bench/peer.h
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -Wall -Wextra -I. $(CFLAGS) $< -o $@ -lprometheus-cpp-pull -lprometheus-cpp-core

# Compiled as applications are: the header alone, in both languages. storm-so is a shared object, and
# storm-step static, so that it has few instructions.
STORM_SRC := $(filter-out tests/race/storm-so.c,$(wildcard tests/race/storm*.c))
STORMS_C := $(patsubst %.c,$(B)/%,$(STORM_SRC))
STORMS_CXX := $(STORMS_C:%=%-cxx)
STORM_SO := $(addprefix $(B)/tests/race/,storm-so.so storm-so-cxx.so storm-so-ie.so)
STORM_HEADERS := $(wildcard include/tally/*.h tests/race/oracle.h tests/race/storm*.h)
APP_WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow
APP_C = @mkdir -p $(@D); echo "app $@"; $(CC) -std=c11 $(APP_WARN) -O2 -g -Iinclude $< -o $@ -pthread
APP_CXX = @mkdir -p $(@D); echo "app $@"; $(CXX) -std=c++17 -x c++ $(APP_WARN) -O2 -g -Iinclude $< -o $@ -pthread
$(STORMS_C): $(B)/%: %.c $(STORM_HEADERS)
	$(APP_C) $(STORM_LINK)
$(STORMS_CXX): $(B)/%-cxx: %.c $(STORM_HEADERS)
	$(APP_CXX) $(STORM_LINK)
$(B)/tests/race/storm-so.so: tests/race/storm-so.c $(STORM_HEADERS)
	$(APP_C) -shared -fPIC -DTALLY_OBJECT='"storm-so"'
$(B)/tests/race/storm-so-cxx.so: tests/race/storm-so.c $(STORM_HEADERS)
	$(APP_CXX) -shared -fPIC -DTALLY_OBJECT='"storm-so"'
$(B)/tests/race/storm-so-ie.so: tests/race/storm-so.c $(STORM_HEADERS)
	$(APP_C) -shared -fPIC -DTALLY_OBJECT='"storm-so"' -ftls-model=initial-exec
$(B)/tests/race/storm-dl $(B)/tests/race/storm-dl-cxx: STORM_LINK = -rdynamic -ldl
$(B)/tests/race/storm-step $(B)/tests/race/storm-step-cxx: STORM_LINK = -static
EXACT_TESTS := $(filter $(B)/tests/race/test_exact%,$(TESTS))
STORMS := $(STORMS_C) $(STORMS_CXX) $(STORM_SO)
$(EXACT_TESTS): | $(STORMS)
tests: $(STORMS)

# Programs that live and die in the lifecycle tests; the static one needs no file of a container.
LIVES := $(addprefix $(B)/tests/race/,life life-static life-wide)
$(B)/tests/race/life-static: APP_LINK := -static
$(B)/tests/race/life-static: tests/race/life.c
$(B)/tests/race/life $(B)/tests/race/life-wide: $(B)/tests/race/%: tests/race/%.c
$(LIVES): $(wildcard include/tally/*.h)
	@mkdir -p $(@D)
	$(CC) -std=c11 $(APP_WARN) -O2 -g -Iinclude $(filter %.c,$^) -o $@ -pthread $(APP_LINK)
$(B)/tests/fault/test_tallyd_kill: | $(LIVES) $(B)/bin/tallyd
tests: $(LIVES)

# Programs that test scripts use; they are no tests themselves.
TEST_TOOLS := $(patsubst %.c,$(B)/%,$(filter-out tests/lib/ran.c,$(wildcard tests/lib/*.c)))
$(TEST_TOOLS): $(B)/tests/lib/%: $(B)/obj/tests/lib/%.o $(TEST_LIBS)
	$(link) $< $(TEST_LIBS) $(TEST_LIBS) $(LDLIBS_tallyd) $(LDLIBS_gatherer) -lm

# Fuzz tests run with sanitizers: what they need is built once more, into a folder of its own. Their
# names have no test_ in front: scripts in tests/fuzz run them.
SAN := $(B)/san
SAN_CFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
SAN_SRC := $(filter-out user/lib/frameio.c,$(LIB_SRC)) $(addprefix user/provider/,budget.c cgroup_names.c cgroups.c fold.c programs.c \
	registry.c segmap.c segments.c segscan.c snapshot.c)
SAN_FUZZERS := $(patsubst tests/fuzz/%.c,$(SAN)/%,$(filter-out tests/fuzz/test_%,$(wildcard tests/fuzz/*_fuzz.c)))
$(SAN)/obj/%.o: %.c | $(B)/gen/user/lib/wire.pb-c.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(SAN_CFLAGS) -c $< -o $@
$(SAN)/obj/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(SAN_CFLAGS) -w -c $< -o $@
$(SAN_FUZZERS): $(SAN)/%: $(SAN)/obj/tests/fuzz/%.o \
		$(patsubst %.c,$(SAN)/obj/%.o,$(SAN_SRC)) $(SAN)/obj/gen/user/lib/wire.pb-c.o
	$(link) $(SAN_CFLAGS) $^ $(LDLIBS_lib) -lpthread
$(SAN)/seed: tests/fuzz/seed.c $(wildcard include/tally/*.h)
	$(APP)
tests: $(SAN_FUZZERS) $(SAN)/seed

.PHONY: fuzz-long
fuzz-long: packages-build-check ## fuzz segments for TALLY_FUZZ_SECONDS (3600) into docs/results/segment-fuzz.txt
	$(OWNED) sh -c '$(SUBMAKE) $(SAN_FUZZERS) $(SAN)/seed && tests/lib/fuzz-long.sh'

# --- what people type --------------------------------------------------------------------------------
# Parallel unless the caller said how (-j), and one step after the other.
SUBMAKE = echo building && $(MAKE) -s --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
OWNED = @+tools/packaging/owned.sh

PACKAGES := $(addprefix packages-,build build-check build-check-bench build-memcached)
.PHONY: check-long check-long-lifecycle
.PHONY: all help tests benches demo demo-memcached check bench docs lint check-fresh check-kernels check-mutants \
	install install-headers clean $(PACKAGES)
$(PACKAGES): packages-%:
	@tools/packaging/packages.sh $(subst -, ,$*)

tests: $(TESTS) $(TEST_TOOLS) ## build the tests, don't run them
benches: $(BENCHES) $(PEERS)
include tests/bench/loops.mk

demo: packages-build ## the whole line at work: counters to a table and a graph (sudo: with BPF)
	$(OWNED) sh -c '$(SUBMAKE) all && tools/demo/demo.sh'
demo-memcached: packages-build-memcached ## build memcached with tally counters and compare its statistics
	$(OWNED) sh -c '$(SUBMAKE) all && tools/demo/memcached.sh'
check: packages-build-check ## build everything and run all tests; TEST=name runs some
	$(OWNED) sh -c '$(SUBMAKE) all tests && tests/lib/run.sh $(TEST)'
check-long: packages-build-check ## storms of counters for minutes, 10^9 increments and more, into docs/results/exact.txt
	$(OWNED) sh -c '$(SUBMAKE) $(STORMS) $(EXACT_TESTS) && tests/lib/check-long.sh'
check-long-lifecycle: packages-build-check ## lifecycle tests at full length (20 min), into docs/results
	$(OWNED) sh -c '$(SUBMAKE) all tests && tests/lib/long-lifecycle.sh'
bench: packages-build-check-bench ## run the benchmarks (BENCH=name: one) into build/bench and docs/benchmarks.md
	$(OWNED) sh -c '$(SUBMAKE) all benches && tests/bench/run.sh $(BENCH)'
docs: $(B)/tests/lib/metricdoc ## make the tables of docs/kernel-metrics.md from those of the modules
	$< docs/kernel-metrics.md >$(B)/kernel-metrics.md
	cp $(B)/kernel-metrics.md docs/kernel-metrics.md
lint: ## include rules, format, licence lines, sizes, scripts
	@tests/lib/lint.sh
check-fresh: ## `sudo make demo` and `sudo make check` in a minimal Debian made for it (needs root)
	$(OWNED) tests/lib/fresh.sh
check-kernels: packages-build-check ## the modules on Debian's kernels, emulated; writes docs/kernels.md
	$(OWNED) sh -c '$(SUBMAKE) all tests && KERNELS_TABLE=docs/kernels.md tests/lib/run.sh kernel/kernels.sh'
check-mutants: packages-build-check ## break each promise on purpose: its test must notice (MUTANT=name: one)
	$(OWNED) sh -c '$(SUBMAKE) all && tests/mutants/run.sh $(MUTANT)'
# Configuration that is already there stays as it is.
DEST = $(DESTDIR)$(PREFIX)
VERSION = $(shell sed -n 's/^\#define TALLY_VERSION_TEXT "\(.*\)"/\1/p' user/lib/conf.h)
fill = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|g' -e 's|@VERSION@|$(VERSION)|g'
# What compiles programs that count; nothing is built for it.
install-headers: ## install the header to DESTDIR/PREFIX, for pkg-config and CMake too, without building
	install -d $(DEST)/include/tally $(DEST)/share/pkgconfig $(DEST)/share/cmake/tally
	install -m 644 include/tally/*.h include/tally/LICENSE $(DEST)/include/tally
	install -m 644 tools/packaging/tally-config.cmake $(DEST)/share/cmake/tally
	$(fill) tools/packaging/tally.pc >$(DEST)/share/pkgconfig/tally.pc
	$(fill) tools/packaging/tally-config-version.cmake \
		>$(DEST)/share/cmake/tally/tally-config-version.cmake
install: all install-headers ## install to DESTDIR/PREFIX: programs, header, man pages, units, munin plugin
	install -d $(DEST)/bin $(DEST)/sbin $(DEST)/share/man/man1 \
		$(DEST)/share/man/man8 $(DEST)/share/doc/tally/docs $(DEST)/share/doc/tally/tests \
		$(DEST)/share/bash-completion/completions \
		$(DEST)/share/munin/plugins $(DEST)/lib/systemd/system $(DEST)/lib/sysusers.d \
		$(DEST)/lib/tmpfiles.d $(DESTDIR)$(SYSCONFDIR)/tally
	install $(B)/bin/tally $(B)/bin/tally-munin $(DEST)/bin
	install $(B)/bin/tallyd $(B)/bin/tally-gatherer $(DEST)/sbin
	install -m 644 tools/man/*.1 $(DEST)/share/man/man1
	install -m 644 tools/man/*.8 $(DEST)/share/man/man8
	install -m 644 README.md LICENSE $(DEST)/share/doc/tally
	install -m 644 docs/*.md $(DEST)/share/doc/tally/docs
	install -m 644 tests/README.md $(DEST)/share/doc/tally/tests
	install -m 644 tools/completion/tally.bash $(DEST)/share/bash-completion/completions/tally
	ln -sf ../../../bin/tally-munin $(DEST)/share/munin/plugins/tally_
	install -m 644 tools/packaging/tally.sysusers $(DEST)/lib/sysusers.d/tally.conf
	install -m 644 tools/packaging/tally.tmpfiles $(DEST)/lib/tmpfiles.d/tally.conf
	for unit in tallyd tally-gatherer; do \
		$(fill) tools/packaging/$$unit.service >$(DEST)/lib/systemd/system/$$unit.service; \
		test -e $(DESTDIR)$(SYSCONFDIR)/tally/$$unit.conf || install -m 644 \
			tools/packaging/$$unit.conf $(DESTDIR)$(SYSCONFDIR)/tally/; \
	done
clean: ## remove the build directory
	rm -rf $(B)
help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | sort | expand -t 16
	@echo
	@echo "Variables: B (build directory), CC, CFLAGS, PREFIX and DESTDIR (install), DEMO_SECONDS, DEMO_KILL"

-include $(shell find $(B)/obj $(SAN)/obj -name '*.d' 2>/dev/null)
