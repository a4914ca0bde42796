/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call to the hypervisor, by the instruction of the other vendor's processors. KVM may put the right one in its
 * place: in a page that the guest may not write to.
 */
#include "tests/hostile/attack.h"
#include "tests/hostile/kernel_call.h"

void attack_run(struct runtime *runtime UNUSED)
{
    kernel_call(!processor_has_vmmcall());
}
