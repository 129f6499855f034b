/*
 * handlers - prototypes of the methods' handlers, made from their table: a handler that is missing
 * does not link, and one that is misspelled does not compile.
 */
#ifndef CTL_HANDLERS_H
#define CTL_HANDLERS_H

#include "ctl/ctl.h"

#define METHOD(id, fn, ...) void ctl_##fn(struct ctl_call *call);
#include "proto/methods.def"
#undef METHOD

#endif
