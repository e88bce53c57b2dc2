/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tracepoint tcp_retransmit_skb, after bpf/module.bpf.h. */
#ifndef TALLY_BPF_RETRANSMIT_BPF_H
#define TALLY_BPF_RETRANSMIT_BPF_H

#include "bpf/module.bpf.h"

/* In newer kernels (6.18 for one) it also tells of segments that could not be sent again: that is an error. */
static __always_inline bool was_sent_again(const unsigned long long *ctx)
{
	if (!bpf_core_field_exists(struct trace_event_raw_tcp_retransmit_skb, err))
		return true;
	return !(int)ARGUMENT(ctx, 2);
}

#endif
