/* What follows from what is published and what a route demands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "route/hop.h"
#include "route/tls_policy.h"

static struct tls_policy *published(enum tls_dane dane, enum tls_sts sts, bool listed)
{
	static const uint8_t digest[32] = { 1 };
	const struct tls_tlsa good = { 3, 1, 1, digest, sizeof(digest) };
	const struct tls_tlsa bad = { 1, 1, 1, digest, sizeof(digest) };
	struct tls_policy *p = tls_policy_new("a.test");

	if (dane == TLS_DANE_USABLE || dane == TLS_DANE_ENCRYPT)
		tls_policy_tlsa(p, "mx.a.test", dane == TLS_DANE_USABLE ? &good : &bad, 1);
	else
		p->dane = dane;
	assert_int_equal(p->dane, dane);
	p->sts = sts;
	p->sts_listed = listed;
	return p;
}

static void test_needs(void **state)
{
	static const struct {
		enum tls_dane dane;
		enum tls_sts sts;
		bool listed;
		enum tls_need need[ROUTE_TLS__COUNT]; /* by the route's demand, in its order */
	} cases[] = {
#define NEEDS(o, r, d, s)                                                                          \
	{ TLS_NEED_##o, TLS_NEED_NEVER, TLS_NEED_##r, TLS_NEED_VALID,                              \
	  TLS_NEED_##d, TLS_NEED_##s,	TLS_NEED_MAY }
		{ TLS_DANE_NONE, TLS_STS_NONE, false, NEEDS(MAY, VALID, REFUSED, REFUSED) },
		{ TLS_DANE_NONE, TLS_STS_TESTING, true, NEEDS(MAY, VALID, REFUSED, STS) },
		{ TLS_DANE_NONE, TLS_STS_TESTING, false, NEEDS(MAY, VALID, REFUSED, REFUSED) },
		{ TLS_DANE_NONE, TLS_STS_ENFORCE, true, NEEDS(STS, STS, REFUSED, STS) },
		{ TLS_DANE_NONE, TLS_STS_ENFORCE, false,
		  NEEDS(REFUSED, REFUSED, REFUSED, REFUSED) },
		{ TLS_DANE_USABLE, TLS_STS_NONE, false, NEEDS(DANE, DANE, DANE, REFUSED) },
		{ TLS_DANE_USABLE, TLS_STS_ENFORCE, false, NEEDS(DANE, DANE, DANE, REFUSED) },
		{ TLS_DANE_ENCRYPT, TLS_STS_NONE, false,
		  NEEDS(ENCRYPTED, VALID, REFUSED, REFUSED) },
		{ TLS_DANE_UNKNOWN, TLS_STS_ENFORCE, true, NEEDS(REFUSED, REFUSED, REFUSED, STS) },
#undef NEEDS
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_policy *p = published(cases[i].dane, cases[i].sts, cases[i].listed);
		for (int k = 0; k < ROUTE_TLS__COUNT; k++) {
			const char *why = NULL;
			enum tls_need need = tls_policy_need(p, (enum route_tls)k, &why);
			if (need != cases[i].need[k] || why == NULL)
				fail_msg("%zu, demand %d: %s", i, k, tls_need_name(need));
		}
		tls_policy_unref(&p);
		assert_null(p);
	}
}

/* Nothing was looked for: demands that need something refuse, the others go on. */
static void test_unknown(void **state)
{
	static const enum tls_need need[ROUTE_TLS__COUNT] = {
		TLS_NEED_MAY,	  TLS_NEED_NEVER,   TLS_NEED_VALID, TLS_NEED_VALID,
		TLS_NEED_REFUSED, TLS_NEED_REFUSED, TLS_NEED_MAY,
	};

	(void)state;
	for (int k = 0; k < ROUTE_TLS__COUNT; k++) {
		const char *why = NULL;
		assert_int_equal(tls_policy_need(NULL, (enum route_tls)k, &why), need[k]);
		assert_non_null(why);
	}
}

/* A smarthost with a demand of its own: records of somebody else do not change it. */
static void test_smarthost(void **state)
{
	static const uint8_t digest[32] = { 1 };
	const struct tls_tlsa good = { 3, 1, 1, digest, sizeof(digest) };
	struct tls_policy *p = tls_policy_new(NULL);
	const char *why;

	(void)state;
	tls_policy_tlsa(p, "smart.test", &good, 1);
	assert_int_equal(tls_policy_need(p, ROUTE_TLS_REQUIRED, &why), TLS_NEED_VALID);
	assert_int_equal(tls_policy_need(p, ROUTE_TLS_OPPORTUNISTIC, &why), TLS_NEED_DANE);
	tls_policy_unref(&p);
}

static void test_streams_demand(void **state)
{
	static const struct {
		enum route_tls route, stream, both;
	} cases[] = {
		{ ROUTE_TLS_OPPORTUNISTIC, ROUTE_TLS_REQUIRED, ROUTE_TLS_REQUIRED },
		{ ROUTE_TLS_UNVERIFIED, ROUTE_TLS_REQUIRED, ROUTE_TLS_REQUIRED },
		{ ROUTE_TLS_NONE, ROUTE_TLS_REQUIRED, ROUTE_TLS_REQUIRED },
		{ ROUTE_TLS_DANE, ROUTE_TLS_REQUIRED, ROUTE_TLS_DANE },
		{ ROUTE_TLS_STS, ROUTE_TLS_DANE, ROUTE_TLS_STS },
		{ ROUTE_TLS_IMPLICIT, ROUTE_TLS_DANE, ROUTE_TLS_IMPLICIT },
		{ ROUTE_TLS_REQUIRED, ROUTE_TLS_DANE, ROUTE_TLS_DANE },
		{ ROUTE_TLS_OPPORTUNISTIC, ROUTE_TLS_NONE, ROUTE_TLS_NONE },
		{ ROUTE_TLS_REQUIRED, ROUTE_TLS_NONE, ROUTE_TLS_REQUIRED },
		{ ROUTE_TLS_NONE, ROUTE_TLS_UNVERIFIED, ROUTE_TLS_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(route_tls_with(cases[i].route, cases[i].stream), cases[i].both);
	for (int i = 0; i < ROUTE_TLS__COUNT; i++) {
		char hop[64] = "mx:a.example";
		enum route_tls t = (enum route_tls)i;

		hop_add(hop, sizeof(hop), t, "bulk");
		assert_int_equal(hop_ways(hop).tls,
				 t == ROUTE_TLS_IMPLICIT ? ROUTE_TLS_OPPORTUNISTIC : t);
		assert_true(str_eq(hop_ways(hop).pool, STR("bulk")));
	}
}

static void test_usable(void **state)
{
	static const uint8_t data[65] = { 0x30, 0x03, 0x02, 0x01, 0x01 }; /* DER, and no key */
	static const struct {
		uint8_t usage;
		uint8_t selector;
		uint8_t matching;
		size_t n;
		bool usable;
	} cases[] = {
		{ 3, 1, 1, 32, true },	{ 2, 0, 1, 32, true },	{ 3, 0, 2, 64, true },
		{ 3, 1, 1, 31, false }, { 3, 1, 1, 33, false }, { 3, 1, 2, 32, false },
		{ 0, 0, 1, 32, false }, { 1, 0, 1, 32, false }, { 4, 0, 1, 32, false },
		{ 3, 2, 1, 32, false }, { 3, 1, 3, 32, false }, { 3, 1, 0, 5, false },
		{ 3, 0, 0, 5, false },	{ 3, 0, 0, 0, false },	{ 3, 1, 1, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_tlsa r = { cases[i].usage, cases[i].selector, cases[i].matching, data,
				      cases[i].n };
		if (tls_tlsa_usable(&r) != cases[i].usable)
			fail_msg("%zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_needs),	       cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_usable),	       cmocka_unit_test(test_smarthost),
		cmocka_unit_test(test_streams_demand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
