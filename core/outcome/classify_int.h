/*
 * classify_int - the rules as they are kept: made by classify_load.c, read by classify.c.
 */
#ifndef OUTCOME_CLASSIFY_INT_H
#define OUTCOME_CLASSIFY_INT_H

#include "outcome/classify.h"
#include "outcome/words.h"

#define RULE_GROUPS_MAX 4     /* lines `with` of a rule */
#define RULE_CODES_MAX 24     /* reply codes, and as many enhanced ones */
#define RULE_PROVIDERS_MAX 64 /* in a file: bits of a mask */
#define RULE_PHRASES_MAX 500  /* of one rule: text, each with, without */
#define RULE_UNSET (-1)

/* A piece of struct classify_rules' list of phrases. */
struct rule_span {
	uint32_t at;
	uint32_t n;
};

struct rule_enhanced {
	int16_t part[3]; /* class, subject, detail; RULE_UNSET: any */
};

struct rule {
	char *name;
	char *meaning; /* NULL: the class's */
	char *advice;
	uint64_t providers;	       /* 0: everybody's */
	char codes[RULE_CODES_MAX][4]; /* "550", "4xx" */
	unsigned codes_n;
	struct rule_enhanced enhanced[RULE_CODES_MAX];
	unsigned enhanced_n;
	unsigned phases; /* bits of enum classify_phase; 0: any */
	struct rule_span text;
	struct rule_span with[RULE_GROUPS_MAX];
	unsigned with_n;
	struct rule_span without;
	enum reply_class reply_class;
	int action; /* enum reply_action, or RULE_UNSET */
	int hard;   /* 0, 1 or RULE_UNSET */
	unsigned line;
};

struct rule_provider {
	char *name;
	char **sites;
	size_t sites_n;
	struct rule_span hints;
};

struct classify_rules {
	struct phrasebook *book;
	uint16_t *phrases; /* lists that the spans point into */
	size_t phrases_n;
	struct rule_provider providers[RULE_PROVIDERS_MAX];
	unsigned providers_n;
	struct rule *rules;
	size_t rules_n;
};

/* The built-in file. */
struct str classify_builtin(void);

#endif
