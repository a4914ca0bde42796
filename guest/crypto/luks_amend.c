/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/crypto/luks_amend.h"

#include <string.h>

#include "base/checked.h"
#include "guest/crypto/image_cipher.h"
#include "guest/crypto/luks_new.h"
#include "guest/crypto/wipe.h"
#include "guest/image/option_values.h"
#include "guest/image/write/target.h"

/* The header's sectors. */
#define HEAD_LEN 1024u
#define NO_SLOT UINT32_MAX

_Static_assert(HEAD_LEN >= LUKS_HEADER_LEN && HEAD_LEN % LUKS_SECTOR_LEN == 0, "the header lies in whole sectors");

struct slot_request {
    bool has_state;
    bool is_active; /* the slot is to be used, otherwise it is not */
    const char *new_secret;
    const char *old_secret;
    bool has_iter_time;
    bool has_slot;
    uint64_t slot;
};

struct change {
    struct image *image;
    struct luks_header *header;
    const struct luks_place *place;
    struct target target; /* for requests only */
    struct slot_request request;
    struct luks_options options; /* of a new slot */
    struct random_stream random;
    uint8_t *stripes;
    size_t stripes_len; /* whole sectors */
    bool force;
};

static bool take_option(const instar_FormatOption *option, const char *name, struct slot_request *request,
                        struct error *error)
{
    static const char *const states[] = {"active", "inactive", NULL};
    uint32_t index;
    if (strcmp(name, "state") == 0) {
        RETURN_IF_FAILED(option_choice(option, states, "state", &index, error));
        request->has_state = true;
        request->is_active = index == 0;
    } else if (strcmp(name, "new-secret") == 0) {
        request->new_secret = option->value;
    } else if (strcmp(name, "old-secret") == 0) {
        request->old_secret = option->value;
    } else if (strcmp(name, "iter-time") == 0) {
        request->has_iter_time = true; /* luks_options_parse has the number */
    } else if (strcmp(name, "keyslot") == 0) {
        request->has_slot = true;
        return option_number(option, &request->slot, error);
    }
    return true;
}

static bool parse(struct change *change, const struct amend_plan *plan, const char *prefix, struct error *error)
{
    size_t prefix_len = strlen(prefix);
    struct slot_request *request = &change->request;
    for (uint32_t i = 0; i < plan->option_count; i++) {
        const instar_FormatOption *option = &plan->options[i];
        if (strncmp(option->name, prefix, prefix_len) == 0) {
            RETURN_IF_FAILED(take_option(option, option->name + prefix_len, request, error));
        }
    }
    if (!request->has_state) {
        return error_set_reason(error, ERROR_REASON_OPTION, ERROR_USAGE, NULL, "Parameter 'state' is missing");
    }
    RETURN_IF_FAILED(luks_options_parse(plan->options, plan->option_count, prefix, &change->options, error));
    const struct luks_header *header = change->header;
    change->options.cipher = header->cipher;
    change->options.hash = header->hash;
    return true;
}

static bool check_slot(const struct slot_request *request, struct error *error)
{
    return !request->has_slot || request->slot < LUKS_SLOT_COUNT ||
           error_set(error, ERROR_USAGE, NULL, "Invalid keyslot %lld specified, must be between 0 and %u",
                     (long long)request->slot, LUKS_SLOT_COUNT - 1);
}

static bool find_secret(const struct change *change, const char *id, struct image_key *ret_key, struct error *error)
{
    *ret_key = image_key_find(change->image->environment, id);
    return image_key_check(ret_key, "", error);
}

/* Whole sectors of the file, on stable storage when it returns. */
static bool write_through(struct change *change, uint64_t off, const uint8_t *bytes, size_t len, struct error *error)
{
    struct target *target = &change->target;
    struct io_request request = target_own_request(target);
    io_write(target->io, &request, target->file, change->place->off + off, bytes, len);
    return target_settle(target, error) && target_flush_file(target, target->file, error);
}

static bool write_header(struct change *change, struct error *error)
{
    struct arena *arena = change->image->environment->arena;
    uint8_t *head = arena_allocate(arena, HEAD_LEN, LUKS_SECTOR_LEN);
    if (head == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the header");
    }
    RETURN_IF_FAILED(file_read(change->target.file, change->place->off, head, HEAD_LEN, error));
    luks_header_emit_slots(change->header, head);
    return write_through(change, 0, head, HEAD_LEN, error);
}

/* Where the slot's key material lies, with the sectors that it has: no other slot's, as the header was checked. */
static bool check_place(const struct change *change, const struct luks_slot *slot, struct error *error)
{
    const struct luks_place *place = change->place;
    uint64_t end;
    bool is_within = checked_add(slot->key_off, change->stripes_len, &end) &&
                     range_is_within(place->off, end, FILE_END_MAX) && (place->len == 0 || end <= place->len) &&
                     place->off + end <= place->file->len &&
                     (place->len != 0 || change->header->is_detached || end <= change->header->payload_off);
    return is_within || error_set(error, ERROR_MALFORMED, NULL, "a keyslot lies outside of the header's place");
}

static uint32_t active_count(const struct luks_header *header)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        count += header->slots[i].is_active ? 1 : 0;
    }
    return count;
}

static bool choose_slot(const struct change *change, uint32_t *ret_slot, struct error *error)
{
    const struct slot_request *request = &change->request;
    const struct luks_header *header = change->header;
    RETURN_IF_FAILED(check_slot(request, error));
    if (request->has_slot) {
        *ret_slot = (uint32_t)request->slot;
        return !header->slots[*ret_slot].is_active || change->force ||
               error_set(error, ERROR_USAGE, NULL, "Refusing to overwrite active keyslot %u - please erase it first",
                         *ret_slot);
    }
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        if (!header->slots[i].is_active) {
            *ret_slot = i;
            return true;
        }
    }
    return error_set(error, ERROR_USAGE, NULL, "Can't add a keyslot - all keyslots are in use");
}

/* A slot that is free, and whose place is sound; NO_SLOT: there is none. */
static uint32_t find_spare(const struct change *change)
{
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        struct error ignored = {0};
        if (!change->header->slots[i].is_active && check_place(change, &change->header->slots[i], &ignored)) {
            return i;
        }
    }
    return NO_SLOT;
}

/* The change's stripes become the slot's material, and then the header tells of it: `filled`, where the slot lies. */
static bool store(struct change *change, uint32_t index, const struct luks_slot *filled, struct error *error)
{
    struct luks_slot *slot = &change->header->slots[index];
    uint64_t key_off = slot->key_off;
    RETURN_IF_FAILED(write_through(change, key_off, change->stripes, change->stripes_len, error));
    *slot = *filled;
    slot->key_off = key_off;
    return write_header(change, error);
}

/* The header no longer tells of it; then its material is gone. */
static bool erase(struct change *change, uint32_t index, struct error *error)
{
    struct luks_slot *slot = &change->header->slots[index];
    RETURN_IF_FAILED(check_place(change, slot, error));
    slot->is_active = false;
    slot->iterations = 0;
    memset(slot->salt, 0, sizeof(slot->salt));
    RETURN_IF_FAILED(write_header(change, error));
    random_stream_take(&change->random, change->stripes, change->stripes_len);
    return write_through(change, slot->key_off, change->stripes, change->stripes_len, error);
}

/*
 * --force: what the slot was, it is no more. It may be the only one, so a free one has the same material until it is
 * whole: the key is lost at no moment.
 */
static bool overwrite(struct change *change, uint32_t index, const struct luks_slot *filled, struct error *error)
{
    uint32_t spare = find_spare(change);
    RETURN_IF_FAILED(spare == NO_SLOT || store(change, spare, filled, error));
    change->header->slots[index].is_active = false;
    RETURN_IF_FAILED(write_header(change, error));
    RETURN_IF_FAILED(store(change, index, filled, error));
    return spare == NO_SLOT || erase(change, spare, error);
}

/* The slot gets the key. */
static bool fill(struct change *change, uint32_t index, struct span password, struct span key, struct error *error)
{
    const struct luks_slot *slot = &change->header->slots[index];
    struct luks_slot filled = *slot;
    RETURN_IF_FAILED(check_place(change, slot, error));
    filled.is_active = true;
    filled.stripes = change->header->slots[0].stripes;
    random_stream_take(&change->random, filled.salt, sizeof(filled.salt));
    RETURN_IF_FAILED(luks_new_iterations(&change->options, (uint32_t)key.len, change->image->environment,
                                         &filled.iterations, error));
    memset(change->stripes, 0, change->stripes_len);
    RETURN_IF_FAILED(luks_new_fill_slot(&change->options, &filled, password, key, &change->random,
                                        change->image->environment, change->stripes, error));
    return slot->is_active ? overwrite(change, index, &filled, error) : store(change, index, &filled, error);
}

static bool add(struct change *change, struct error *error)
{
    const struct slot_request *request = &change->request;
    struct image_key new_key;
    uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
    uint32_t index;
    if (request->new_secret == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "'new-secret' is required to activate a keyslot");
    }
    if (request->old_secret != NULL) {
        return error_set(error, ERROR_USAGE, NULL, "'old-secret' must not be given when activating keyslots");
    }
    RETURN_IF_FAILED(choose_slot(change, &index, error));
    RETURN_IF_FAILED(luks_key_find(change->header, change->place, change->image->key.secret,
                                   change->image->environment->arena, key, error));
    bool success = find_secret(change, request->new_secret, &new_key, error) &&
                   fill(change, index, new_key.secret, (struct span){key, change->header->key_len}, error);
    wipe(key, sizeof(key));
    return success;
}

static bool erase_slot(struct change *change, uint32_t index, struct error *error)
{
    if (!change->force && !change->header->slots[index].is_active) {
        return error_set(error, ERROR_USAGE, NULL, "Given keyslot %u is already erased (inactive) ", index);
    }
    if (!change->force && active_count(change->header) == 1) {
        return error_set(error, ERROR_USAGE, NULL,
                         "Attempt to erase the only active keyslot %u which will erase all the data in the image "
                         "irreversibly - refusing operation",
                         index);
    }
    return erase(change, index, error);
}

/* Slots that a passphrase opens; with `only`, whether this one is. */
static bool erase_matching(struct change *change, struct span old, uint32_t only, struct error *error)
{
    bool matches[LUKS_SLOT_COUNT] = {false};
    uint32_t count = 0;
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        uint8_t key[SECTOR_CIPHER_KEY_LEN_MAX];
        if ((only == NO_SLOT || only == i) && change->header->slots[i].is_active) {
            RETURN_IF_FAILED(luks_key_try(change->header, change->place, i, old, change->image->environment->arena, key,
                                          &matches[i], error));
            wipe(key, sizeof(key));
            count += matches[i] ? 1 : 0;
        }
    }
    if (only != NO_SLOT) {
        return count > 0
                   ? erase_slot(change, only, error)
                   : error_set(error, ERROR_USAGE, NULL,
                               "Given keyslot %u doesn't contain the given old password for erase operation", only);
    }
    if (count == 0) {
        return error_set(error, ERROR_USAGE, NULL, "No keyslots match given (old) password for erase operation");
    }
    if (!change->force && count == active_count(change->header)) {
        return error_set(error, ERROR_USAGE, NULL,
                         "All the active keyslots match the (old) password that was given and erasing them will erase "
                         "all the data in the image irreversibly - refusing operation");
    }
    for (uint32_t i = 0; i < LUKS_SLOT_COUNT; i++) {
        RETURN_IF_FAILED(!matches[i] || erase(change, i, error));
    }
    return true;
}

static bool take_away(struct change *change, struct error *error)
{
    const struct slot_request *request = &change->request;
    if (request->new_secret != NULL) {
        return error_set(error, ERROR_USAGE, NULL, "'new-secret' must not be given when erasing keyslots");
    }
    if (request->has_iter_time) {
        return error_set(error, ERROR_USAGE, NULL, "'iter-time' must not be given when erasing keyslots");
    }
    struct image_key old = {0};
    RETURN_IF_FAILED(request->old_secret == NULL || find_secret(change, request->old_secret, &old, error));
    RETURN_IF_FAILED(check_slot(request, error));
    if (request->old_secret != NULL) {
        return erase_matching(change, old.secret, request->has_slot ? (uint32_t)request->slot : NO_SLOT, error);
    }
    return request->has_slot ? erase_slot(change, (uint32_t)request->slot, error)
                             : error_set(error, ERROR_USAGE, NULL,
                                         "To erase keyslot(s), either explicit keyslot index or the password "
                                         "currently contained in them must be given");
}

bool luks_amend(struct image *image, struct luks_header *header, const struct luks_place *place,
                const struct amend_plan *plan, const char *prefix, struct error *error)
{
    struct arena *arena = image->environment->arena;
    struct change *change = arena_allocate(arena, sizeof(*change), _Alignof(struct change));
    size_t stripes_len = (size_t)round_up((uint64_t)header->key_len * header->slots[0].stripes, LUKS_SECTOR_LEN);
    uint8_t *stripes = arena_allocate(arena, stripes_len, LUKS_SECTOR_LEN);
    if (change == NULL || stripes == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left for the key slots");
    }
    *change = (struct change){
        .image = image,
        .header = header,
        .place = place,
        .target = {.file = place->file, .io = image->environment->io},
        .stripes = stripes,
        .stripes_len = stripes_len,
        .force = plan->force,
    };
    RETURN_IF_FAILED(parse(change, plan, prefix, error));
    random_stream_init(&change->random, plan->random);
    bool success = change->request.is_active ? add(change, error) : take_away(change, error);
    wipe(&change->random, sizeof(change->random));
    return success;
}
