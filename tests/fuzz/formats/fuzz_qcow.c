/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_image.h"

const struct fuzz_format fuzz_format = {.name = "qcow"};
