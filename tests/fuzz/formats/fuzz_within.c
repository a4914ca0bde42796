/* SPDX-License-Identifier: Apache-2.0 */
/* Images of any format within the disk of a qcow2 image. */
#include "fuzz_image.h"

const struct fuzz_format fuzz_format = {.name = "qcow2", .is_outer = true, .inner_name = ""};
