/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies from and to the mapping of a file, where any access may raise SIGBUS: the file shrank, its disk
 * failed or is full. Here that is a return value.
 *
 * The handler belongs to the whole process. A SIGBUS that is not about a guarded copy is passed on to the
 * handler that was there before.
 */
#ifndef INSTAR_HOST_BACKENDS_GUARDED_COPY_H
#define INSTAR_HOST_BACKENDS_GUARDED_COPY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attributes.h"

/* Installs the handler unless it is there. To be called before the first copy. Returns 0 or an errno value. */
int guarded_copy_install(void);

/*
 * Copies `len` bytes, one of whose ends lies in the mapping. Returns false when it raised SIGBUS; then any part
 * of `target` may have been written.
 */
bool MUST_CHECK guarded_copy(void *target, const void *source, size_t len, const void *mapping, size_t mapping_len);

#endif
