/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/detail.h"

#include <string.h>

#include "base/text.h"
#include "guest/runtime/messages.h"

static void detail_post(instar_DetailKind kind, const char *key, int64_t number, struct span text)
{
    static instar_GuestMessage message; /* large */
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_detail_tag};
    instar_DetailMessage *detail = &message.kind.detail;
    detail->kind = kind;
    text_copy(detail->key, sizeof(detail->key), key != NULL ? key : "");
    detail->number = number;
    detail->text.size = (pb_size_t)min_u64(text.len, sizeof(detail->text.bytes));
    if (detail->text.size > 0) {
        memcpy(detail->text.bytes, text.data, detail->text.size);
    }
    messages_post(&message);
}

void detail_object(const char *key)
{
    detail_post(instar_DetailKind_DETAIL_OBJECT, key, 0, (struct span){0});
}

void detail_list(const char *key)
{
    detail_post(instar_DetailKind_DETAIL_LIST, key, 0, (struct span){0});
}

void detail_end(void)
{
    detail_post(instar_DetailKind_DETAIL_END, NULL, 0, (struct span){0});
}

void detail_bool(const char *key, bool value)
{
    detail_post(instar_DetailKind_DETAIL_BOOL, key, value, (struct span){0});
}

void detail_number(const char *key, int64_t value)
{
    detail_post(instar_DetailKind_DETAIL_NUMBER, key, value, (struct span){0});
}

void detail_file(const char *key, const struct file *file)
{
    detail_post(instar_DetailKind_DETAIL_FILE, key, file->device, (struct span){0});
}

void detail_text(const char *key, struct span text)
{
    detail_post(instar_DetailKind_DETAIL_TEXT, key, 0, text);
}

void detail_word(const char *key, const char *word)
{
    detail_text(key, (struct span){(const uint8_t *)word, strlen(word)});
}
