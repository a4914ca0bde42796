/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of the machine, if it has one (abi/virtio_console.h), as a way for messages: two buffers, of which one is
 * filled while the host takes the other. The device is not touched before it is used.
 */
#ifndef INSTAR_GUEST_DRIVERS_MESSAGE_CONSOLE_H
#define INSTAR_GUEST_DRIVERS_MESSAGE_CONSOLE_H

#include "abi/boot_info.h"
#include "guest/runtime/arena.h"

/* Offers the console to messages.h. Without a console, or when the arena is too small, messages go by COM1. */
void message_console_offer(const struct boot_info *boot, struct arena *arena);

#endif
