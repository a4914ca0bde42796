/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing what is encrypted: bytes are encrypted into memory of the writer's, by all vCPUs, and written from there.
 * For vCPU 0 only.
 */
#ifndef INSTAR_GUEST_IMAGE_WRITE_CIPHER_WRITER_H
#define INSTAR_GUEST_IMAGE_WRITE_CIPHER_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "guest/image/data_cipher.h"
#include "guest/image/io.h"
#include "guest/runtime/arena.h"

/* Bytes of one write at most. */
#define CIPHER_WRITE_LEN_MAX (1u << 20)

struct cipher_writer;

MUST_CHECK bool cipher_writer_make(struct arena *arena, struct io *io, const struct data_cipher *cipher,
                                   struct cipher_writer **ret_writer, struct error *error);

/*
 * As io_write; `cipher_off` is the place of the first byte in what the cipher counts. Whole units, CIPHER_WRITE_LEN_MAX
 * bytes at most; `data` NULL stands for zeros. `data` may change as soon as this returns. Waits where all memory is in
 * use, and then `done` of other requests is called.
 */
MUST_CHECK bool cipher_write(struct cipher_writer *writer, struct io_request *request, struct file *file, uint64_t off,
                             uint64_t cipher_off, const void *data, uint64_t len, struct error *error);

#endif
