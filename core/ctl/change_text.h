/*
 * change_text - what an edit changes, in the words of the command line.
 *
 * Model:   a value is called as its option of the kind's verbs is (weir stream set
 *          --delay-warning), and without one as its field is titled; what is neither is how it
 *          is kept, and is not said. Ages have units. What the absence of a value means stands
 *          beside its field's help.
 * Context: any thread; pure.
 */
#ifndef CTL_CHANGE_TEXT_H
#define CTL_CHANGE_TEXT_H

#include <jansson.h>

#include "base/buf.h"
#include "proto/proto.h"

/* before or after may be no object: it was not there, or is gone. */
void change_text_put(struct buf *out, const char *kind, const char *id, const json_t *before,
		     const json_t *after);

#endif
