/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/engines/kvm_features.h"

#include <cpuid.h>

#include "base/attributes.h"
#include "base/checked.h"
#include "host/vmm/engine.h"

/* Leaf 1, ECX. Left out: VMX, x2APIC, monitor, TSC deadline, PCID, and the like. */
#define LEVEL_2_1_ECX (bit_SSE3 | bit_SSSE3 | bit_CMPXCHG16B | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT)
#define XSAVE_1_ECX (bit_XSAVE | bit_OSXSAVE)
#define AVX_1_ECX (bit_AVX | bit_FMA | bit_F16C)
#define LEVEL_3_1_ECX (LEVEL_2_1_ECX | XSAVE_1_ECX | AVX_1_ECX | bit_MOVBE)
#define ALL_1_ECX (LEVEL_3_1_ECX | bit_PCLMUL | bit_AES | bit_RDRND)
#define HYPERVISOR_1_ECX (1u << 31)
#define X2APIC_1_ECX (1u << 21)
/* Leaf 7, EBX. AVX-512 wants state that XCR0 lacks. */
#define ENHANCED_REP_MOVSB_7_EBX (1u << 9)
#define LEVEL_3_7_EBX (bit_BMI | bit_AVX2 | bit_BMI2)
#define ALL_7_EBX (LEVEL_3_7_EBX | ENHANCED_REP_MOVSB_7_EBX | bit_RDSEED | bit_ADX | bit_SHA)
/* Leaf 0x80000001, ECX: SVM, as VMX, is left out. */
#define LEVEL_2_EXTENDED_ECX bit_LAHF_LM
#define LEVEL_3_EXTENDED_ECX (LEVEL_2_EXTENDED_ECX | bit_LZCNT)
#define ALL_EXTENDED_ECX (LEVEL_3_EXTENDED_ECX | bit_PRFCHW)
/* Leaf 0xd, EAX: states that XCR0 may enable. */
#define STATE_X87_SSE 0x3u
#define STATE_AVX 0x4u

#define LEAF_LAST 0xdu

/* By level; 0 are all that guests may use. */
static const struct {
    uint32_t leaf_1_ecx;
    uint32_t leaf_7_ebx;
    uint32_t extended_ecx;
} masks[PROCESSOR_LEVEL_MAX + 1] = {
    {ALL_1_ECX, ALL_7_EBX, ALL_EXTENDED_ECX},
    {0, 0, 0},
    {LEVEL_2_1_ECX, 0, LEVEL_2_EXTENDED_ECX},
    {LEVEL_3_1_ECX, LEVEL_3_7_EBX, LEVEL_3_EXTENDED_ECX},
};

void kvm_features_read_host(uint32_t function, uint32_t index, uint32_t ret_registers[4])
{
    __cpuid_count(function, index, ret_registers[0], ret_registers[1], ret_registers[2], ret_registers[3]);
}

/* An Intel processor answers a leaf that it does not have by the content of its last one. */
static bool has_leaf(kvm_features_reader read, uint32_t function)
{
    uint32_t registers[4];
    read(function & 0x80000000u, 0, registers);
    return registers[0] >= function;
}

static void states_find(struct kvm_features *features, kvm_features_reader read, unsigned int level)
{
    uint32_t registers[4];
    if (!has_leaf(read, LEAF_LAST)) {
        return;
    }
    read(1, 0, registers);
    uint32_t ecx = registers[2] & masks[level].leaf_1_ecx;
    read(LEAF_LAST, 0, registers);
    features->has_xsave = (ecx & XSAVE_1_ECX) == XSAVE_1_ECX;
    features->has_avx = features->has_xsave && (ecx & bit_AVX) != 0 && (registers[0] & STATE_AVX) != 0;
}

static void leaf_restrict(const struct kvm_features *features, struct kvm_cpuid_entry2 *leaf, unsigned int level,
                          bool has_interrupts)
{
    switch (leaf->function) {
    case 0:
        leaf->eax = (uint32_t)min_u64(leaf->eax, LEAF_LAST);
        break;
    case 1:
        leaf->ecx &= masks[level].leaf_1_ecx;
        leaf->ecx &= ~(uint32_t)((features->has_xsave ? 0 : XSAVE_1_ECX) | (features->has_avx ? 0 : AVX_1_ECX));
        leaf->ecx |= HYPERVISOR_1_ECX | (has_interrupts ? X2APIC_1_ECX : 0);
        break;
    case 7:
        leaf->eax = 0;
        leaf->ebx &= masks[level].leaf_7_ebx;
        leaf->ebx &= ~(uint32_t)(features->has_avx ? 0 : bit_AVX2);
        leaf->ecx = 0;
        leaf->edx = 0;
        break;
    case LEAF_LAST:
        if (!features->has_xsave || leaf->index != 0) {
            leaf->eax = leaf->ebx = leaf->ecx = leaf->edx = 0;
        } else {
            leaf->eax &= STATE_X87_SSE | (features->has_avx ? STATE_AVX : 0);
            leaf->edx = 0;
        }
        break;
    case 0x80000001:
        leaf->ecx &= masks[level].extended_ecx;
        break;
    default:
        break;
    }
}

/* The few leaves that codecs look at are all that a program without an operating system needs. */
void kvm_features_make(struct kvm_features *ret_features, kvm_features_reader read, unsigned int level,
                       bool has_interrupts)
{
    static const struct {
        uint32_t function;
        uint32_t index;
        uint32_t flags;
    } leaves[] = {
        {0x0, 0, 0},
        {0x1, 0, 0},
        {0x7, 0, KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
        {LEAF_LAST, 0, KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
        {LEAF_LAST, 1, KVM_CPUID_FLAG_SIGNIFCANT_INDEX},
        {0x80000000, 0, 0},
        {0x80000001, 0, 0},
        {0x80000008, 0, 0},
    };
    _Static_assert(ARRAY_COUNT(leaves) <= KVM_FEATURES_LEAF_MAX, "all leaves fit");
    struct kvm_features features = {0};
    states_find(&features, read, level);
    for (unsigned int i = 0; i < ARRAY_COUNT(leaves); i++) {
        uint32_t registers[4];
        if (!has_leaf(read, leaves[i].function)) {
            continue;
        }
        read(leaves[i].function, leaves[i].index, registers);
        struct kvm_cpuid_entry2 *leaf = &features.leaves[features.leaf_count++];
        *leaf = (struct kvm_cpuid_entry2){
            .function = leaves[i].function,
            .index = leaves[i].index,
            .flags = leaves[i].flags,
            .eax = registers[0],
            .ebx = registers[1],
            .ecx = registers[2],
            .edx = registers[3],
        };
        leaf_restrict(&features, leaf, level, has_interrupts);
    }
    *ret_features = features;
}
