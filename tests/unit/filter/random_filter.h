/*
 * random_filter - random texts of the filter language and random rows, for property tests. The
 * vocabulary is small, so that filters and rows meet.
 */
#ifndef TESTS_RANDOM_FILTER_H
#define TESTS_RANDOM_FILTER_H

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "filter/filter.h"

static inline size_t pick(size_t n)
{
	return (size_t)rand() % n;
}

static inline void random_term(struct buf *out)
{
	static const char *const terms[] = {
		"domain:a.org",
		"domain:*.org",
		"domain!=a.org,b.org",
		"domain:\"\"",
		"domain:*",
		"stream:Bulk,x",
		"stream:b*k",
		"from:bob",
		"from:bob@a.org",
		"from:@a.org",
		"from:<>",
		"from!=bob",
		"to:*b*@*",
		"to:100%",
		"subject:a_b",
		"subject:\"a b\"",
		"subject=\"a b\"",
		"subject!=a*",
		"subject:\\",
		"credential:crm",
		"credential:*",
		"-credential:\"\"",
		"client:10.0.0.0/8",
		"client:10.1.2.3",
		"client:2001:db8::/32",
		"client!=::1",
		"code:421",
		"code:4xx",
		"code:4.7.*,550",
		"code>=500",
		"code!=421",
		"enhanced:4.7",
		"age>2h",
		"age<=2h",
		"age<1d",
		"next<10m",
		"next>=10m",
		"attempts:3",
		"attempts!=3,4",
		"attempts<2",
		"size>1K",
		"size<=1K",
		"id:0N4XK2M8QF",
		"id:0N4XK2M8QF/2",
		"id:0N4*",
		"state:held",
		"state!=held,ready",
		"bob",
		"\"a b\"",
		"a_b",
		"0n4xk2m8qf",
		"B*",
		"class:x",
		"text:many",
		"sender-domain:A.org",
		"provider:g*",
	};

	(void)buf_puts(out, terms[pick(ARRAY_LEN(terms))]);
}

static inline void random_filter_text(struct buf *out, int depth)
{
	size_t n = 1 + pick(3);
	const char *joint = pick(3) == 0 ? " or " : pick(4) == 0 ? " and " : " ";

	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			(void)buf_puts(out, joint);
		if (pick(4) == 0)
			(void)buf_puts(out, pick(2) == 0 ? "-" : "not ");
		if (depth > 0 && pick(3) == 0) {
			(void)buf_putc(out, '(');
			random_filter_text(out, depth - 1);
			(void)buf_putc(out, ')');
		} else {
			random_term(out);
		}
	}
}

#endif
