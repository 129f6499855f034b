/*
 * crc32c - the Castagnoli checksum (RFC 3720, B.4), for what is stored on disk.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` covers (0 at first) followed by p. Any thread. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
