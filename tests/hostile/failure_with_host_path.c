/* SPDX-License-Identifier: Apache-2.0 */
/* An error about a place that claims to be a file of the host. */
#include "guest/runtime/messages.h"
#include "tests/hostile/attack.h"

void attack_run(struct runtime *runtime UNUSED)
{
    struct error error = {0};
    error_fill(&error, ERROR_HOST, "/etc/passwd", "%%s is gone");
    messages_send_failure(&error);
    platform_exit(EXIT_FINISHED);
}
