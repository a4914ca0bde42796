/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one job of the image program natively (image_command.h). */
#include "image_command.h"
#include "native.h"

static void on_message(const instar_GuestMessage *message, void *context)
{
    (void)context;
    image_command_print(message);
}

/* To the leak sanitizer: memory is static or the arena's, and looking through all of it takes longer than the rest. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

int main(int argc, char **argv)
{
    static struct image_command command;
    struct error error = {0};
    image_command_parse(&command, argc, argv);
    native_start(&(struct native_setup){.on_message = on_message, .arena_left = command.memory_left});
    bool success = native_run_job(&command.job, command.paths, command.target, &error);
    native_stop();
    return success ? 0 : 1;
}
