/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A filter for a socket that loses the first segments that come to it, and takes all later ones. */
#include "bpf/module.bpf.h"

const volatile __u64 first; /* how many */
__u64 lost;

SEC("socket")
int lose_first(struct __sk_buff *skb)
{
	if (lost >= first)
		return -1; /* all of it */
	lost++;
	return 0;
}
