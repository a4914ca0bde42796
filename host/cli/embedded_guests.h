/* SPDX-License-Identifier: Apache-2.0 */
/* The guest programs that are part of the executable. */
#ifndef INSTAR_HOST_CLI_EMBEDDED_GUESTS_H
#define INSTAR_HOST_CLI_EMBEDDED_GUESTS_H

#include "base/span.h"

extern const uint8_t embedded_copy_start[];
extern const uint8_t embedded_copy_end[];

/* Copies device 0 to device 1 (guest/programs/copy_program.c). */
static inline struct span embedded_copy(void)
{
    return (struct span){embedded_copy_start, (size_t)(embedded_copy_end - embedded_copy_start)};
}

extern const uint8_t embedded_image_start[];
extern const uint8_t embedded_image_end[];

/* Works on disk images, as an ImageJob says (guest/programs/image_program.c). */
static inline struct span embedded_image(void)
{
    return (struct span){embedded_image_start, (size_t)(embedded_image_end - embedded_image_start)};
}

#endif
