/*
 * What the files of the shell share. Nothing else includes this.
 */
#ifndef SHELL_SHELL_INT_H
#define SHELL_SHELL_INT_H

#include <pthread.h>

#include "cell/canvas.h"
#include "shell/shell.h"

#define SHELL_MAGIC 0x7e110001u
#define NOTICE_MAX 600

/* --- rings of lines: command log, notices, the console's log --- */

struct ring {
	char *line[SHELL_RING];
	int begin;
	int n;
};

void ring_add(struct ring *r, char *line); /* takes line; the oldest one goes when it is full */
const char *ring_get(const struct ring *r, int i);
void ring_done(struct ring *r);

/* --- views --- */

struct view {
	struct shell *shell;
	const struct view_def *def;
	void *state;
	uint64_t id;
	char arg[VIEW_ARG_MAX];
	struct view *next_dead;
};

/* A place in the history; `view` NULL while the view is closed and only remembered. */
struct place {
	const struct view_def *def;
	struct view *view;
	char arg[VIEW_ARG_MAX];
	char *saved;
};

/* --- overlays --- */

struct overlay;

struct overlay_ops {
	/* What it would like inside its frame; both start as the largest there is. */
	void (*size)(struct overlay *o, int *rows, int *cols);
	void (*draw)(struct overlay *o, const struct canvas *c);
	void (*event)(struct overlay *o, const struct event *ev);
	/* The server's answer to what was entered; NULL when it never waits. */
	void (*error)(struct overlay *o, const struct err *err);
	void (*free)(struct overlay *o);
	const char *hint; /* for the hint line */
	bool bottom;	  /* without a frame, at the bottom */
	bool careful;	  /* what was typed before it was shown does not count */
};

struct overlay {
	const struct overlay_ops *ops;
	struct shell *shell;
	struct view *owner;
	uint64_t id;
	char title[128];
	bool danger;
	bool shown; /* has been on the screen */
	bool open;
	void *state;
	struct overlay *next_dead;
};

struct overlay *overlay_push(struct shell *s, const struct overlay_ops *ops, struct view *owner,
			     const char *title, void *state);
/* Takes it off the stack at once; its memory goes when the current event is over. */
void overlay_close(struct overlay *o);
struct overlay *overlay_top(const struct shell *s);
/* With ops not NULL only one of that kind. */
struct overlay *overlay_find(const struct shell *s, struct overlay_id id,
			     const struct overlay_ops *ops);
void overlays_draw(struct shell *s, const struct canvas *c);
void overlays_close_of(struct shell *s, const struct view *owner);

/* --- the shell --- */

struct shell {
	uint32_t magic;
	struct shell_options o;
	struct keymap *keymap;
	struct loop_timer *frame;
	struct loop_timer *tick;
	struct grid *grid;
	struct hit_map *hits;
	unsigned dirty;
	int64_t frame_ms; /* when the last one was drawn */
	bool frozen;
	bool freeze_missed; /* data changed while frozen */
	uint64_t next_id;
	const struct view_def *defs[SHELL_MAX_VIEWS];
	int n_defs;
	struct place history[SHELL_HISTORY];
	int n_history;
	int here; /* place on the screen, -1: none */
	struct view *dead_views;
	struct overlay *overlay[SHELL_MAX_OVERLAYS];
	int n_overlays;
	struct overlay *dead_overlays;
	struct shell_status status;
	char notice[NOTICE_MAX];
	enum notice_level notice_level;
	int64_t notice_until_ms; /* 0: until a key */
	struct ring commands;
	struct ring notices;
	struct ring log;
	pthread_mutex_t log_lock; /* log lines come from any thread */
	struct history *palette_history;
	char refusal[128];
};

/* chrome.c */
void chrome_draw(struct shell *s, const struct canvas *c);
void chrome_body(const struct shell *s, const struct canvas *c, struct canvas *ret_body);
void chrome_help(struct shell *s);
void chrome_menu(struct shell *s);
/* What the action does on the screen that is shown. */
const char *chrome_help_of(const struct shell *s, enum action_id a);

/* palette.c */
void palette_open(struct shell *s);

/* places.c */
void places_close_all(struct shell *s);
void places_reap(struct shell *s);
bool places_older(struct shell *s);
bool places_newer(struct shell *s);
void places_close(struct shell *s); /* the one on the screen */
bool view_handles(const struct view *v, enum action_id a);
const struct view_def *view_def_find(const struct shell *s, const char *name);
const struct view_def *view_def_slot(const struct shell *s, int slot);
/* By its name, its title or another word for it. */
const struct view_def *view_def_meant(const struct shell *s, struct str word);

#endif
