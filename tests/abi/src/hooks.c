/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts in the hooks of -finstrument-functions: functions of the header must not call them again. */
#include <tally/tally.h>

TALLY_COUNTER(entered, "hooks_entered", "Functions entered");
TALLY_COUNTER(left, "hooks_left", "Functions left");

#ifdef __cplusplus
extern "C" {
#endif
__attribute__((no_instrument_function)) void __cyg_profile_func_enter(void *function, void *site);
__attribute__((no_instrument_function)) void __cyg_profile_func_exit(void *function, void *site);

void __cyg_profile_func_enter(void *function, void *site)
{
	(void)function;
	(void)site;
	TALLY_INC(entered);
}

void __cyg_profile_func_exit(void *function, void *site)
{
	(void)function;
	(void)site;
	TALLY_INC(left);
}
#ifdef __cplusplus
}
#endif

static int more(int n)
{
	return n + 1;
}

int main(void)
{
	volatile int n = 0;

	for (int i = 0; i < 10; i++)
		n = more(n);
	return TALLY_VALUE(entered) == 11 && TALLY_VALUE(left) == 10 ? 0 : 1;
}
