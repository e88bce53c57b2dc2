# SPDX-License-Identifier: GPL-2.0-or-later
# The programs that bench_counters runs. Some need packages of peers, which only `make bench` installs.
# tally is compiled as applications compile it: the header alone, no flag of ours but -O2.

LOOPS_DIR := $(B)/tests/bench
LOOPS := $(addprefix $(LOOPS_DIR)/,loops_tally loops_tally-clang loops_tally-static loops_tally-default loops_tally-gnu2 loops_tally-ie \
	loops_dlopen loops_timers clock peer_mmv peer_prometheus peer_lttng peer_statsd startup start start-0 start-100 start-1000) \
	$(patsubst %,$(LOOPS_DIR)/libloops-%.so,default gnu2 ie)
loops_flags := -O2 -g $(WARN) -I. -Iinclude
loops_cc = @mkdir -p $(@D); echo "bench $@"; $(CC) -std=gnu11 -D_GNU_SOURCE $(loops_flags) -o $@

$(LOOPS): tests/bench/loops.h $(wildcard include/tally/*.h)
benches: $(LOOPS)

$(LOOPS_DIR)/loops.o $(LOOPS_DIR)/loops_dlopen.o: tests/bench/loops.c tests/bench/loops.h
$(LOOPS_DIR)/loops.o:
	$(loops_cc) -c $<
$(LOOPS_DIR)/loops_dlopen.o:
	$(loops_cc) -DLOOPS_DLOPEN -c $<

$(LOOPS_DIR)/loops_tally: tests/bench/loops_tally.c $(LOOPS_DIR)/loops.o
	$(loops_cc) $(filter %.c %.o,$^) -pthread
$(LOOPS_DIR)/loops_tally-clang: tests/bench/loops_tally.c $(LOOPS_DIR)/loops.o
	@mkdir -p $(@D); echo "bench $@"
	$(CLANG) -std=gnu11 -D_GNU_SOURCE $(loops_flags) -o $@ $(filter %.c %.o,$^) -pthread
$(LOOPS_DIR)/loops_tally-static: tests/bench/loops_tally.c $(LOOPS_DIR)/loops.o
	$(loops_cc) -static $(filter %.c %.o,$^) -pthread
$(LOOPS_DIR)/loops_dlopen: $(LOOPS_DIR)/loops_dlopen.o
	$(loops_cc) -rdynamic $(filter %.o,$^) -Wl,-rpath,'$$ORIGIN' -pthread

so_flags_gnu2 := -mtls-dialect=gnu2
so_flags_ie   := -DTALLY_TLS_MODEL='"initial-exec"'
$(LOOPS_DIR)/libloops-%.so: tests/bench/loops_tally.c
	$(loops_cc) -fPIC -shared $(so_flags_$*) $< -pthread
$(LOOPS_DIR)/loops_tally-default $(LOOPS_DIR)/loops_tally-gnu2 $(LOOPS_DIR)/loops_tally-ie: $(LOOPS_DIR)/loops_tally-%: $(LOOPS_DIR)/libloops-%.so $(LOOPS_DIR)/loops.o
	$(loops_cc) $(LOOPS_DIR)/loops.o -L$(LOOPS_DIR) -lloops-$* -Wl,-rpath,'$$ORIGIN' -pthread

$(LOOPS_DIR)/loops_timers: tests/bench/loops_timers.c $(LOOPS_DIR)/loops.o
	$(loops_cc) $(filter %.c %.o,$^) -pthread
$(LOOPS_DIR)/clock: tests/bench/clock.c
	$(loops_cc) $<

$(LOOPS_DIR)/peer_mmv: tests/bench/peer_mmv.c $(LOOPS_DIR)/loops.o
	$(loops_cc) $(filter %.c %.o,$^) -lpcp_mmv -lpcp -pthread
$(LOOPS_DIR)/peer_statsd: tests/bench/peer_statsd.c $(LOOPS_DIR)/loops.o
	$(loops_cc) $(filter %.c %.o,$^) -pthread
$(LOOPS_DIR)/peer_lttng: tests/bench/peer_lttng.c $(LOOPS_DIR)/loops.o tests/bench/peer_lttng.h
	$(loops_cc) -w $(filter %.c %.o,$^) -llttng-ust -ldl -pthread
$(LOOPS_DIR)/peer_prometheus: tests/bench/peer_prometheus.cc $(LOOPS_DIR)/loops.o
	@mkdir -p $(@D); echo "bench $@"
	$(CXX) -std=c++17 -O2 -g -Wall -Wextra -I. -o $@ $(filter %.cc %.o,$^) -lprometheus-cpp-core -pthread

$(LOOPS_DIR)/startup: tests/bench/startup.c
	$(loops_cc) $< -pthread
# GCC warns of constructors before 101, where the one stands that takes the time.
$(LOOPS_DIR)/start: tests/bench/start.c
	$(loops_cc) -Wno-prio-ctor-dtor $<
$(LOOPS_DIR)/start-%: tests/bench/start.c
	$(loops_cc) -Wno-prio-ctor-dtor -DCOUNTERS=$* $<
