/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest's processor says of itself (CPUID), made from what the host's says. Bits and leaves: Intel SDM volume 2,
 * CPUID; AMD APM volume 3, appendix E. Nothing here asks for a vendor: a leaf that the host's processor does not have
 * is left out, and whatever depends on a feature asks for that.
 */
#ifndef INSTAR_HOST_VMM_ENGINES_KVM_FEATURES_H
#define INSTAR_HOST_VMM_ENGINES_KVM_FEATURES_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#define KVM_FEATURES_LEAF_MAX 8u

struct kvm_features {
    bool has_xsave; /* CR4.OSXSAVE may be set, and XCR0 */
    bool has_avx;   /* and its bit for AVX's state */
    unsigned int leaf_count;
    struct kvm_cpuid_entry2 leaves[KVM_FEATURES_LEAF_MAX];
};

/* What CPUID answers: EAX, EBX, ECX, EDX. */
typedef void (*kvm_features_reader)(uint32_t function, uint32_t index, uint32_t ret_registers[4]);

/* `level` is that of struct engine_setup. */
void kvm_features_make(struct kvm_features *ret_features, kvm_features_reader read, unsigned int level,
                       bool has_interrupts);

/* The host's processor. */
void kvm_features_read_host(uint32_t function, uint32_t index, uint32_t ret_registers[4]);

#endif
