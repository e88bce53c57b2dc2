# SPDX-License-Identifier: GPL-2.0-or-later
# The programs that bench_counters runs. Some need packages of peers, which only `make bench` installs.
# tally is compiled as applications compile it: the header alone, no flag of ours but -O2.

P := $(B)/tests/bench
LOOPS := $(addprefix $(P)/,loops_tally loops_tally-clang loops_tally-static loops_tally-default loops_tally-gnu2 loops_tally-ie \
	loops_dlopen peer_mmv peer_prometheus peer_lttng peer_statsd startup start start-0 start-100 start-1000) \
	$(patsubst %,$(P)/libloops-%.so,default gnu2 ie)
loops_flags := -O2 -g $(WARN) -I. -Iinclude
loops_cc = @mkdir -p $(@D); echo "bench $@"; $(CC) -std=gnu11 -D_GNU_SOURCE $(loops_flags) -o $@

$(LOOPS): tests/bench/loops.h $(wildcard include/tally/*.h)
benches: $(LOOPS)

$(P)/loops.o $(P)/loops_dlopen.o: tests/bench/loops.c tests/bench/loops.h
$(P)/loops.o:
	$(loops_cc) -c $<
$(P)/loops_dlopen.o:
	$(loops_cc) -DLOOPS_DLOPEN -c $<

$(P)/loops_tally: tests/bench/loops_tally.c $(P)/loops.o
	$(loops_cc) $(filter %.c %.o,$^) -pthread
$(P)/loops_tally-clang: tests/bench/loops_tally.c $(P)/loops.o
	@mkdir -p $(@D); echo "bench $@"
	$(CLANG) -std=gnu11 -D_GNU_SOURCE $(loops_flags) -o $@ $(filter %.c %.o,$^) -pthread
$(P)/loops_tally-static: tests/bench/loops_tally.c $(P)/loops.o
	$(loops_cc) -static $(filter %.c %.o,$^) -pthread
$(P)/loops_dlopen: $(P)/loops_dlopen.o
	$(loops_cc) -rdynamic $(filter %.o,$^) -Wl,-rpath,'$$ORIGIN' -pthread

so_flags_gnu2 := -mtls-dialect=gnu2
so_flags_ie   := -DTALLY_TLS_MODEL='"initial-exec"'
$(P)/libloops-%.so: tests/bench/loops_tally.c
	$(loops_cc) -fPIC -shared $(so_flags_$*) $< -pthread
$(P)/loops_tally-default $(P)/loops_tally-gnu2 $(P)/loops_tally-ie: $(P)/loops_tally-%: $(P)/libloops-%.so $(P)/loops.o
	$(loops_cc) $(P)/loops.o -L$(P) -lloops-$* -Wl,-rpath,'$$ORIGIN' -pthread

$(P)/peer_mmv: tests/bench/peer_mmv.c $(P)/loops.o
	$(loops_cc) $(filter %.c %.o,$^) -lpcp_mmv -lpcp -pthread
$(P)/peer_statsd: tests/bench/peer_statsd.c $(P)/loops.o
	$(loops_cc) $(filter %.c %.o,$^) -pthread
$(P)/peer_lttng: tests/bench/peer_lttng.c $(P)/loops.o tests/bench/peer_lttng.h
	$(loops_cc) -w $(filter %.c %.o,$^) -llttng-ust -ldl -pthread
$(P)/peer_prometheus: tests/bench/peer_prometheus.cc $(P)/loops.o
	@mkdir -p $(@D); echo "bench $@"
	$(CXX) -std=c++17 -O2 -g -Wall -Wextra -I. -o $@ $(filter %.cc %.o,$^) -lprometheus-cpp-core -pthread

$(P)/startup: tests/bench/startup.c
	$(loops_cc) $< -pthread
# GCC warns of constructors before 101, where the one stands that takes the time.
$(P)/start: tests/bench/start.c
	$(loops_cc) -Wno-prio-ctor-dtor $<
$(P)/start-%: tests/bench/start.c
	$(loops_cc) -Wno-prio-ctor-dtor -DCOUNTERS=$* $<
