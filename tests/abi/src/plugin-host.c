/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loads the library by dlopen, after threads run, and counts in it from two of them. */
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

static void (*count)(void);

static void *count_many(void *arg)
{
	for (int i = 0; i < 100000; i++)
		count();
	return arg;
}

int main(int argc, char **argv)
{
	void *lib = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	uint64_t (*value)(void);
	pthread_t t;

	if (!lib) {
		puts(dlerror());
		return 1;
	}
	*(void **)&count = dlsym(lib, "library_count");
	*(void **)&value = dlsym(lib, "library_value");
	if (!count || !value || pthread_create(&t, NULL, count_many, NULL) != 0)
		return 1;
	count_many(NULL);
	pthread_join(t, NULL);
	if (value() != 200000) {
		printf("%" PRIu64 "\n", value());
		return 1;
	}
	dlclose(lib);
	puts("ok");
	return 0;
}
