/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages that go with an error code. */
#include <stdarg.h>
#include <stdio.h>

#include "user/lib/err.h"

int err_set(struct errmsg *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return code;
}
