/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest hears of its processor, on processors that we do not have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <cpuid.h>

#include "base/attributes.h"
#include "host/vmm/engine.h"
#include "host/vmm/engines/kvm_features.h"

#define OSXSAVE_AND_XSAVE (bit_XSAVE | bit_OSXSAVE)
#define AVX512F_7_EBX (1u << 16)
#define VMX_1_ECX (1u << 5)
#define SVM_EXTENDED_ECX (1u << 2)
#define HYPERVISOR_1_ECX (1u << 31)

static struct processor {
    uint32_t leaf_max;
    uint32_t leaf_1_ecx;
    uint32_t leaf_7_ebx;
    uint32_t states;
    uint32_t extended_ecx;
} processor;

/* As Intel's: a leaf that there is not has the content of the last one. */
static void read_made_up(uint32_t function, uint32_t index, uint32_t ret_registers[4])
{
    memset(ret_registers, 0, 4 * sizeof(ret_registers[0]));
    if (function < 0x80000000u && function > processor.leaf_max) {
        memset(ret_registers, 0xff, 4 * sizeof(ret_registers[0]));
        return;
    }
    switch (function) {
    case 0:
        ret_registers[0] = processor.leaf_max;
        break;
    case 1:
        ret_registers[2] = processor.leaf_1_ecx;
        break;
    case 7:
        ret_registers[1] = processor.leaf_7_ebx;
        ret_registers[3] = UINT32_MAX;
        break;
    case 0xd:
        ret_registers[0] = index == 0 ? processor.states : UINT32_MAX;
        break;
    case 0x80000000u:
        ret_registers[0] = 0x80000008u;
        break;
    case 0x80000001u:
        ret_registers[2] = processor.extended_ecx;
        break;
    default:
        break;
    }
}

static const struct processor everything = {
    .leaf_max = 0x20,
    .leaf_1_ecx = UINT32_MAX,
    .leaf_7_ebx = UINT32_MAX,
    .states = UINT32_MAX,
    .extended_ecx = UINT32_MAX,
};

static const struct kvm_cpuid_entry2 *leaf_find(const struct kvm_features *features, uint32_t function, uint32_t index)
{
    for (unsigned int i = 0; i < features->leaf_count; i++) {
        if (features->leaves[i].function == function && features->leaves[i].index == index) {
            return &features->leaves[i];
        }
    }
    return NULL;
}

static struct kvm_features make(const struct processor *made_up, unsigned int level)
{
    struct kvm_features features;
    processor = *made_up;
    kvm_features_make(&features, read_made_up, level, false);
    return features;
}

static void hides_what_no_guest_may_use(void **state UNUSED)
{
    struct kvm_features features = make(&everything, 0);
    assert_true(features.has_xsave && features.has_avx);
    assert_int_equal(leaf_find(&features, 0, 0)->eax, 0xd);
    assert_int_equal(leaf_find(&features, 1, 0)->ecx & (VMX_1_ECX | HYPERVISOR_1_ECX), HYPERVISOR_1_ECX);
    assert_int_equal(leaf_find(&features, 7, 0)->ebx & (AVX512F_7_EBX | bit_AVX2), bit_AVX2);
    assert_int_equal(leaf_find(&features, 7, 0)->edx, 0);
    assert_int_equal(leaf_find(&features, 0xd, 0)->eax, 7);
    assert_int_equal(leaf_find(&features, 0xd, 1)->eax, 0);
    assert_int_equal(leaf_find(&features, 0x80000001, 0)->ecx & SVM_EXTENDED_ECX, 0);
}

static void leaves_out_leaves_that_there_are_not(void **state UNUSED)
{
    struct processor old = everything;
    old.leaf_max = 6;
    struct kvm_features features = make(&old, 0);
    assert_int_equal(leaf_find(&features, 0, 0)->eax, 6);
    assert_null(leaf_find(&features, 7, 0));
    assert_null(leaf_find(&features, 0xd, 0));
    assert_false(features.has_xsave);
    assert_int_equal(leaf_find(&features, 1, 0)->ecx & (OSXSAVE_AND_XSAVE | bit_AVX | bit_FMA | bit_F16C), 0);
    assert_int_not_equal(leaf_find(&features, 1, 0)->ecx & bit_SSE4_2, 0);
}

/* A kernel that does not save AVX's state, or a processor without it. */
static void offers_avx_only_with_its_state(void **state UNUSED)
{
    struct processor without_state = everything;
    without_state.states = 3;
    struct processor without_kernel = everything;
    without_kernel.leaf_1_ecx &= ~(uint32_t)bit_OSXSAVE;
    const struct processor *const processors[] = {&without_state, &without_kernel};
    for (unsigned int i = 0; i < ARRAY_COUNT(processors); i++) {
        struct kvm_features features = make(processors[i], 0);
        assert_false(features.has_avx);
        assert_int_equal(leaf_find(&features, 1, 0)->ecx & (bit_AVX | bit_FMA | bit_F16C), 0);
        assert_int_equal(leaf_find(&features, 7, 0)->ebx & bit_AVX2, 0);
        assert_int_equal(leaf_find(&features, 0xd, 0)->eax, processors[i] == &without_state ? 3 : 0);
    }
}

static void keeps_to_a_level(void **state UNUSED)
{
    static const struct {
        uint32_t leaf_1_ecx;
        uint32_t leaf_7_ebx;
        bool has_avx;
    } levels[] = {
        {HYPERVISOR_1_ECX, 0, false},
        {HYPERVISOR_1_ECX | bit_SSE3 | bit_SSSE3 | bit_CMPXCHG16B | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT, 0, false},
        {HYPERVISOR_1_ECX | bit_SSE3 | bit_SSSE3 | bit_CMPXCHG16B | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT |
             OSXSAVE_AND_XSAVE | bit_AVX | bit_FMA | bit_F16C | bit_MOVBE,
         bit_BMI | bit_BMI2 | bit_AVX2, true},
    };
    for (unsigned int level = 1; level <= PROCESSOR_LEVEL_MAX; level++) {
        struct kvm_features features = make(&everything, level);
        assert_int_equal(leaf_find(&features, 1, 0)->ecx, levels[level - 1].leaf_1_ecx);
        assert_int_equal(leaf_find(&features, 7, 0)->ebx, levels[level - 1].leaf_7_ebx);
        assert_int_equal(features.has_avx, levels[level - 1].has_avx);
        assert_int_equal(features.has_xsave, levels[level - 1].has_avx);
    }
}

static void knows_this_host(void **state UNUSED)
{
    struct kvm_features features;
    kvm_features_make(&features, kvm_features_read_host, 0, false);
    uint32_t registers[4];
    kvm_features_read_host(1, 0, registers);
    print_message("this host's processor: leaf 1 ECX %#x, %s AVX for guests\n", registers[2],
                  features.has_avx ? "with" : "without");
    assert_int_equal(features.has_avx, __builtin_cpu_supports("avx") != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hides_what_no_guest_may_use),
        cmocka_unit_test(leaves_out_leaves_that_there_are_not),
        cmocka_unit_test(offers_avx_only_with_its_state),
        cmocka_unit_test(keeps_to_a_level),
        cmocka_unit_test(knows_this_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
