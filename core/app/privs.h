/*
 * privs - the process: its account, its limits, its state directory.
 *
 * Context: at start, before the loop runs. Errors: ERR_CONFIG with what would be right, ERR_IO.
 */
#ifndef APP_PRIVS_H
#define APP_PRIVS_H

#include "base/err.h"

/* As many descriptors as the system lets us have, no core files, files for nobody else. */
void privs_limits(void);
/*
 * Makes `dir` when it is missing (0700, of that account), and becomes `user` (NULL: stays). Nothing
 * can be regained afterwards.
 */
int privs_become(const char *user, const char *dir, struct err *err) MUST_CHECK;
/* One relay a state directory: *ret_fd is a locked file in it, for the life of the process. */
int privs_lock(const char *dir, int *ret_fd, struct err *err) MUST_CHECK;

#endif
