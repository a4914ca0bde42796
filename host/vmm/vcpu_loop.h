/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_VMM_VCPU_LOOP_H
#define INSTAR_HOST_VMM_VCPU_LOOP_H

/*
 * A vCPU's thread: runs the guest and answers its exits until the machine ends. `argument` is a
 * struct machine_vcpu. Returns NULL.
 */
void *vcpu_loop(void *argument);

#endif
