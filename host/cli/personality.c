/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/personality.h"

#include <string.h>

static bool is_other;

void personality_choose(const char *argv0)
{
    const char *slash = argv0 != NULL ? strrchr(argv0, '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : argv0;
    is_other = name != NULL && strcmp(name, "qemu-img") == 0;
}

const char *program_name(void)
{
    return is_other ? "qemu-img" : "instar";
}

bool is_qemu_img(void)
{
    return is_other;
}
