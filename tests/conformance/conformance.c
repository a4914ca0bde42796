/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/conformance.h"

#include <stddef.h>
#include <string.h>

#include "abi/ports.h"
#include "guest/runtime/messages.h"

NO_RETURN void conformance_fail(const char *file, int line, const char *condition)
{
    struct error error = {0};
    error_fill(&error, ERROR_GUEST, NULL, "%s:%d: not true: %s", file, line, condition);
    messages_send_failure(&error);
    platform_exit(EXIT_FINISHED);
}

static uint8_t pattern_byte(uint64_t off)
{
    return (uint8_t)((off / 8 + 1) * PATTERN_FACTOR >> off % 8 * 8);
}

bool pattern_matches(const volatile void *data, uint64_t off, uint64_t len)
{
    const volatile uint8_t *bytes = data;
    uint64_t i = 0;
    while (i < len) {
        if ((off + i) % 8 == 0 && len - i >= 8) {
            uint64_t word;
            memcpy(&word, (const uint8_t *)bytes + i, sizeof(word));
            if (word != ((off + i) / 8 + 1) * PATTERN_FACTOR) {
                return false;
            }
            i += 8;
        } else {
            if (bytes[i] != pattern_byte(off + i)) {
                return false;
            }
            i++;
        }
    }
    return true;
}

bool is_zero(const volatile void *data, uint64_t len)
{
    const volatile uint8_t *bytes = data;
    for (uint64_t i = 0; i < len; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

uint64_t file_len(const struct raw_ring *ring)
{
    const uint32_t off = VIRTIO_MMIO_CONFIG + VIRTIO_BLK_INSTAR_CONFIG_OFF +
                         (uint32_t)offsetof(struct virtio_blk_instar_config, file_len);
    return raw_load(ring->registers_gpa, off) | (uint64_t)raw_load(ring->registers_gpa, off + 4) << 32;
}

uint32_t program_main(struct runtime *runtime)
{
    static instar_VmmConfig config;
    struct error error = {0};
    if (!messages_receive_config(&config, &error)) {
        panic("%s", error.detail);
    }
    messages_post_init("conformance", runtime->boot->vcpu_count, config.devices_count);
    messages_flush();
    conformance_run(runtime);
    instar_CompleteMessage complete = {.success = true};
    messages_send_complete(&complete);
    return EXIT_FINISHED;
}
