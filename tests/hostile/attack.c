/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/attack.h"

#include <stdio.h>

#include "abi/virtio_blk.h"
#include "guest/runtime/messages.h"

static instar_VmmConfig config;

const instar_VmmConfig *attack_config(void)
{
    return &config;
}

NO_RETURN void attack_fail(const char *detail)
{
    struct error error = {0};
    error_fill(&error, ERROR_GUEST, NULL, "%s", detail);
    messages_send_failure(&error);
    platform_exit(EXIT_FINISHED);
}

void attack_judge(uint8_t status)
{
    if (status == VIRTIO_BLK_S_IOERR) {
        attack_fail("refused: IOERR");
    }
    if (status == VIRTIO_BLK_S_UNSUPP) {
        attack_fail("refused: UNSUPP");
    }
}

uint32_t program_main(struct runtime *runtime)
{
    struct error error = {0};
    if (!messages_receive_config(&config, &error)) {
        panic("%s", error.detail);
    }
    if ((runtime->boot->transport.flags & BOOT_TRANSPORT_READER) != 0) {
        attack_run(runtime); /* in the machine that has no messages */
        return EXIT_FINISHED;
    }
    messages_post_init("attack", runtime->boot->vcpu_count, config.devices_count);
    messages_flush();
    attack_run(runtime);
    instar_CompleteMessage complete = {.success = true};
    messages_send_complete(&complete);
    return EXIT_FINISHED;
}
