/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Prometheus client for bench_read.c: `peer_scrape DIR` keeps counters with prometheus-cpp, as text
 * made in place, and scraped from its own HTTP server through loopback; and the text is read back, by
 * tests/bench/peer_scrape.py (the Python client's parser) and by a loop of ours, which knows nothing
 * but "name value" lines and so is about the least that a parser can cost.
 */
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <arpa/inet.h>
#include <cinttypes>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/peer.h"

static const int sizes[] = {1000, 10000, 100000};

[[noreturn]] static void fail(const char *what)
{
	fprintf(stderr, "prometheus: %s\n", what);
	exit(1);
}

static unsigned runs_of(int n)
{
	return n > 10000 ? 11 : PEER_RUNS;
}

/* Medians of op() in ms; op() says whether it got what it wanted. */
template <typename Op> static void measure(const char *what, int n, Op op)
{
	double samples[PEER_RUNS];
	char name[96];

	if (!op())
		fail(what);
	for (unsigned i = 0; i < runs_of(n); i++) {
		double begin = peer_now_ms();

		if (!op())
			fail(what);
		samples[i] = peer_now_ms() - begin;
	}
	snprintf(name, sizeof(name), "Prometheus: %s, %d counters", what, n);
	peer_result(name, "ms", samples, runs_of(n));
}

/* The head and the body of GET /metrics from this port, or less if it went wrong. */
static std::string scrape(int port)
{
	static const char request[] =
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	static char part[1 << 16];
	struct sockaddr_in addr = {};
	std::string answer;
	ssize_t r;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_family = AF_INET;
	addr.sin_port = htons((uint16_t)port);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
		write(fd, request, sizeof(request) - 1) != (ssize_t)sizeof(request) - 1)
		fail("no connection to its HTTP server");
	while ((r = read(fd, part, sizeof(part))) > 0)
		answer.append(part, (size_t)r);
	close(fd);
	return answer;
}

/* Sums "name value" lines; the number of them in *lines. */
static uint64_t parse(const std::string &text, int *lines)
{
	uint64_t sum = 0;

	*lines = 0;
	for (const char *p = text.c_str(), *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		if (!end)
			break;
		if (*p == '#')
			continue;
		p = (const char *)memchr(p, ' ', (size_t)(end - p));
		if (!p)
			continue;
		sum += (uint64_t)strtod(p + 1, NULL);
		++*lines;
	}
	return sum;
}

static void write_text(const std::string &path, const std::string &text)
{
	FILE *f = fopen(path.c_str(), "w");

	if (!f || fwrite(text.data(), 1, text.size(), f) != text.size() || fclose(f))
		fail("its text can't be written");
}

/* Counter i has the value i. At most 1,000 families: the time to register one grows with their number. */
static void fill(prometheus::Registry &registry, int n)
{
	for (int family = 0; family < 1000; family++) {
		auto &f = prometheus::BuildCounter()
				  .Name("counter_" + std::to_string(family))
				  .Register(registry);

		for (int i = family; i < n; i += 1000)
			f.Add(i < 1000 ? prometheus::Labels{}
				       : prometheus::Labels{{"i", std::to_string(i)}})
				.Increment(i);
	}
}

static void measure_size(const std::string &dir, int n)
{
	auto registry = std::make_shared<prometheus::Registry>();
	prometheus::Exposer exposer{"127.0.0.1:0"};
	prometheus::TextSerializer serializer;
	uint64_t sum = (uint64_t)n * (uint64_t)(n - 1) / 2;
	std::string text;
	int port = exposer.GetListeningPorts().at(0), lines;

	fill(*registry, n);
	exposer.RegisterCollectable(registry);
	measure("text without HTTP", n, [&] {
		text = serializer.Serialize(registry->Collect());
		return !text.empty();
	});
	measure("scrape by HTTP", n, [&] { return scrape(port).size() > text.size(); });
	measure("parse, a loop of ours", n,
		[&] { return parse(text, &lines) == sum && lines == n; });
	write_text(dir + "/" + std::to_string(n), text);
}

int main(int argc, char **argv)
{
	std::string dir = argc > 1 ? argv[1] : "";

	if (mkdir(dir.c_str(), 0700))
		fail("no directory");
	for (int n : sizes)
		measure_size(dir, n);
	fflush(stdout);
	/* Debian's, which has Debian's modules */
	execl("/usr/bin/python3", "python3", "tests/bench/peer_scrape.py", dir.c_str(),
		(char *)NULL);
	fail("no python3");
}
