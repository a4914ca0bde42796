/* SPDX-License-Identifier: Apache-2.0 */
/* A call to the hypervisor, by the instruction that this vendor's processors have for it. */
#include "tests/hostile/attack.h"
#include "tests/hostile/kernel_call.h"

void attack_run(struct runtime *runtime UNUSED)
{
    kernel_call(processor_has_vmmcall());
}
