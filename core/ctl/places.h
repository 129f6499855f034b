/*
 * places - the order of a list that is given anew: as many of its members as possible keep the
 * place that they have, so that only what was really moved counts as changed.
 */
#ifndef CTL_PLACES_H
#define CTL_PLACES_H

#include <math.h>
#include <stddef.h>

#define PLACE_NEW ((double)NAN)

/* place[i]: of the i-th member in the new order, PLACE_NEW when it is new. Then they ascend. */
void places_make(double *place, size_t n);

#endif
