/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probing, chains, and the map of a chain, with formats made up for the test: a "layer" is a list of clusters, each of
 * a kind, on a backing file that it may name. What must come out is what qemu-img 7.2 map says of qcow2 images that are
 * made the same way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/text.h"
#include "native.h"

#define CLUSTER_LEN 65536u

struct layer {
    char magic[4]; /* "LAYR" */
    char backing[28];
    char kinds[480]; /* a letter per cluster: U, Z, D; h: data that may have holes, in a hole; d: likewise, data */
};

static int layer_probe(struct span head, struct span name)
{
    (void)name;
    return head.len >= 4 && memcmp(head.data, "LAYR", 4) == 0 ? 50 : 0;
}

static bool layer_open(struct image *image, struct error *error)
{
    struct layer layer;
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, 0, &layer, sizeof(layer), error));
    image->virtual_len = strnlen(layer.kinds, sizeof(layer.kinds)) * CLUSTER_LEN;
    image->cluster_len = CLUSTER_LEN;
    image->backing_name.is_set = layer.backing[0] != '\0';
    image->backing_name.len = (uint16_t)strnlen(layer.backing, sizeof(layer.backing));
    memcpy(image->backing_name.bytes, layer.backing, image->backing_name.len);
    return true;
}

/* Data lies in the file as on the disk. */
static bool layer_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    struct layer layer;
    RETURN_IF_FAILED(cache_read(image->environment->cache, image->file, 0, &layer, sizeof(layer), error));
    char kind = layer.kinds[voff / CLUSTER_LEN];
    bool is_data = strchr("Ddh", kind) != NULL;
    *ret_extent = (struct extent){
        .voff = voff,
        .len = min_u64(len, CLUSTER_LEN - voff % CLUSTER_LEN),
        .kind = is_data ? EXTENT_DATA : (kind == 'Z' ? EXTENT_ZERO : EXTENT_UNALLOCATED),
        .has_file_off = is_data,
        .may_have_holes = kind == 'd' || kind == 'h',
        .file_off = kind == 'h' ? voff + (1u << 20) : voff % sizeof(layer),
        .file = image->file,
    };
    return true;
}

static int weak_probe(struct span head, struct span name)
{
    (void)name;
    (void)head;
    return 1;
}

static int tie_probe(struct span head, struct span name)
{
    (void)name;
    return memcmp(head.data, "TIE", 3) == 0 ? 50 : 0;
}

static bool plain_open(struct image *image, struct error *error)
{
    (void)error;
    image->virtual_len = image->file->len;
    return true;
}

static bool failing_open(struct image *image, struct error *error)
{
    (void)image;
    return error_set(error, ERROR_MALFORMED, NULL, "damaged");
}

static const struct format layer_format = {.name = "layer", .probe = layer_probe, .open = layer_open, .map = layer_map};
static const struct format first_format = {.name = "first", .probe = tie_probe, .open = plain_open};
static const struct format second_format = {.name = "second", .probe = tie_probe, .open = failing_open};
static const struct format weak_format = {.name = "raw", .probe = weak_probe, .open = plain_open};

static const struct format closed_format = {
    .name = "closed",
    .probe = tie_probe,
    .open = layer_open,
    .map = layer_map,
    .is_opaque = true,
    .is_read_only = true,
};

/* An extent that breaks a rule: the image's name says which. */
static bool wrong_map(struct image *image, uint64_t voff, uint64_t len, struct extent *ret_extent, struct error *error)
{
    (void)error;
    char rule = *(const char *)image->state;
    *ret_extent = (struct extent){.voff = voff, .len = len, .kind = EXTENT_ZERO};
    ret_extent->voff += rule == 'v' ? 1 : 0;
    ret_extent->len = rule == '0' ? 0 : len + (rule == 'l' ? 1 : 0);
    return true;
}

static const struct format wrong_format = {.name = "wrong", .probe = tie_probe, .open = plain_open, .map = wrong_map};

/* In place of guest/formats/formats.c. */
const struct format *const formats[] = {&weak_format,   &layer_format, &first_format, &second_format,
                                        &closed_format, &wrong_format, NULL};

static struct layer layers[IMAGE_CHAIN_MAX + 1];
static uint32_t layer_count;
static struct file *layer_files[IMAGE_CHAIN_MAX + 1];
static struct image_environment environment;

/* Names are numbers of layers. */
static bool open_layer(struct image_environment *own, struct span name, const struct file *referrer,
                       enum image_file_use use, struct file **ret_file, struct error *error)
{
    (void)own;
    (void)use;
    (void)referrer;
    uint32_t number = 0;
    for (size_t i = 0; i < name.len; i++) {
        number = number * 10 + (uint32_t)(name.data[i] - '0');
    }
    if (number >= layer_count) {
        return error_set(error, ERROR_REFUSED, NULL, "the host does not give the file");
    }
    *ret_file = layer_files[number];
    return true;
}

static void add_layer(const char *kinds, const char *backing)
{
    struct layer *layer = &layers[layer_count];
    *layer = (struct layer){.magic = {'L', 'A', 'Y', 'R'}};
    text_copy(layer->kinds, sizeof(layer->kinds), kinds);
    text_copy(layer->backing, sizeof(layer->backing), backing);
    layer_files[layer_count] = native_file_of_bytes(layer, sizeof(*layer), 4u << 20);
    layer_count++;
}

static int set_up(void **state)
{
    (void)state;
    native_start(&(struct native_setup){0});
    environment = *native_environment();
    environment.open_file = open_layer;
    layer_count = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    native_stop();
    return 0;
}

static bool open_image(struct file *file, const char *format, struct image **ret_image, struct error *error)
{
    struct image_setup setup = {.environment = &environment, .file = file, .format = format, .purpose = IMAGE_TO_READ};
    return image_open(&setup, ret_image, error);
}

static const char *probed_format(const char *content, size_t len, const char *format)
{
    struct image *image;
    struct error error = {0};
    if (!open_image(native_file_of_bytes(content, len, len), format, &image, &error)) {
        return "failed";
    }
    assert_int_equal(image->is_probed, format[0] == '\0');
    return image->format->name;
}

static void the_highest_score_wins_and_the_first_of_equals(void **state)
{
    (void)state;
    assert_string_equal(probed_format("TIE", 3, ""), "first");
    assert_string_equal(probed_format("LAYR", 4, ""), "layer");
    assert_string_equal(probed_format("anything", 8, ""), "raw");
    assert_string_equal(probed_format("", 0, ""), "raw");
}

static void what_the_user_says_is_not_probed(void **state)
{
    (void)state;
    assert_string_equal(probed_format("LAYR", 4, "raw"), "raw");
    assert_string_equal(probed_format("LAYR", 4, "first"), "first");
}

static void an_unknown_format_is_told_in_the_words_of_qemu_img(void **state)
{
    (void)state;
    struct image *image;
    struct error error = {0};
    assert_false(open_image(native_file_of_bytes("", 0, 0), "xyz", &image, &error));
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_string_equal(error.detail, "Unknown driver 'xyz'");
}

static void an_error_at_opening_says_which_device(void **state)
{
    (void)state;
    struct image *image;
    struct error error = {0};
    struct file *file = native_file_of_bytes("x", 1, 1);
    assert_false(open_image(file, "second", &image, &error));
    assert_string_equal(error.place, file->name);
    assert_string_equal(error.detail, "damaged");
}

/* The map as text: per extent its kind, depth, whether present, clusters. */
static void check_map(struct image *image, const char *expected)
{
    char text[256];
    int len = 0;
    for (uint64_t voff = 0; voff < image->virtual_len;) {
        struct chain_extent chain;
        struct error error = {0};
        assert_true(image_map(image, voff, UINT64_MAX, &chain, &error));
        assert_int_equal(chain.extent.voff, voff);
        assert_int_not_equal(chain.extent.len, 0);
        assert_ptr_equal(chain.image == NULL, false);
        char kind = chain.extent.kind == EXTENT_ZERO ? 'Z' : (chain.is_hole ? 'H' : 'D');
        len += snprintf(text + len, sizeof(text) - (size_t)len, "%c%u%s:%llu ", kind, chain.depth,
                        chain.is_present ? "" : "-", (unsigned long long)chain.extent.len);
        voff += chain.extent.len;
    }
    assert_string_equal(text, expected);
}

static struct image *open_chain_of(uint32_t top)
{
    struct image *image;
    struct error error = {0};
    assert_true(open_image(layer_files[top], "", &image, &error));
    assert_true(image_open_chain(image, &error));
    return image;
}

static void the_first_image_that_has_something_decides(void **state)
{
    (void)state;
    add_layer("UDZU", "");
    add_layer("DUUUUD", "0");
    check_map(open_chain_of(1), "D0:65536 D1:65536 Z1:65536 Z1-:65536 Z0-:65536 D0:65536 ");
}

/* An image in the middle that is short ends what is behind it: the end is not seen through. */
static void a_short_backing_file_reads_as_zeros_of_the_image_above(void **state)
{
    (void)state;
    add_layer("DDDDD", "");
    add_layer("UU", "0");
    add_layer("UUUU", "1");
    check_map(open_chain_of(2), "D2:65536 D2:65536 Z0-:65536 Z0-:65536 ");
}

static void data_that_may_have_holes_is_looked_at_in_its_file(void **state)
{
    (void)state;
    add_layer("dhD", "");
    /* Bytes that were given are data, what is behind them is a hole: the first extent ends there. */
    struct image *image = open_chain_of(0);
    struct chain_extent chain;
    struct error error = {0};
    assert_true(image_map(image, 0, UINT64_MAX, &chain, &error));
    assert_false(chain.is_hole);
    assert_int_equal(chain.extent.len, sizeof(struct layer));
    assert_true(image_map(image, CLUSTER_LEN, UINT64_MAX, &chain, &error));
    assert_true(chain.is_hole);
    assert_int_equal(chain.extent.len, CLUSTER_LEN);
    assert_true(image_map(image, 2 * CLUSTER_LEN, UINT64_MAX, &chain, &error));
    assert_false(chain.is_hole);
    assert_int_equal(chain.extent.len, CLUSTER_LEN);
}

static void a_backing_file_that_is_not_open_is_not_zeros(void **state)
{
    (void)state;
    add_layer("D", "");
    add_layer("U", "0");
    struct image *image;
    struct chain_extent chain;
    struct error error = {0};
    assert_true(open_image(layer_files[1], "", &image, &error));
    assert_false(image_map(image, 0, 1, &chain, &error));
}

static void a_refused_backing_file_fails_the_chain(void **state)
{
    (void)state;
    add_layer("U", "77");
    struct image *image;
    struct error error = {0};
    assert_true(open_image(layer_files[0], "", &image, &error));
    assert_false(image_open_chain(image, &error));
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_string_equal(error.place, layer_files[0]->name);
}

static void a_loop_ends(void **state)
{
    (void)state;
    add_layer("U", "1");
    add_layer("U", "2");
    add_layer("U", "1");
    struct image *image;
    struct error error = {0};
    assert_true(open_image(layer_files[0], "", &image, &error));
    assert_false(image_open_chain(image, &error));
    assert_int_equal(error.kind, ERROR_MALFORMED);
}

static void opaque_images_are_told_as_data_all_over(void **state)
{
    (void)state;
    add_layer("DZUZ", "");
    struct image *image;
    struct chain_extent chain;
    struct error error = {0};
    assert_true(open_image(layer_files[0], "closed", &image, &error));
    assert_true(image_status(image, 3, UINT64_MAX, &chain, &error));
    assert_int_equal(chain.extent.kind, EXTENT_DATA);
    assert_int_equal(chain.extent.len, 4 * CLUSTER_LEN - 3);
    assert_true(chain.is_present && !chain.is_hole && !chain.extent.has_file_off);
    check_map(image, "D0:65536 Z0:65536 Z0-:65536 Z0:65536 ");
    assert_true(open_image(layer_files[0], "layer", &image, &error));
    assert_true(image_status(image, CLUSTER_LEN, UINT64_MAX, &chain, &error));
    assert_int_equal(chain.extent.kind, EXTENT_ZERO);
}

static void who_cannot_be_written_is_not_opened_to_be_changed(void **state)
{
    (void)state;
    add_layer("D", "");
    struct image *image;
    struct error error = {0};
    struct image_setup setup = {
        .environment = &environment, .file = layer_files[0], .format = "closed", .purpose = IMAGE_TO_CHANGE};
    assert_false(image_open(&setup, &image, &error));
    assert_string_equal(error.detail, "Image is read-only");
}

static void an_extent_that_is_not_one_is_an_error(void **state)
{
    (void)state;
    add_layer("D", "");
    struct image *image;
    struct error error = {0};
    assert_true(open_image(layer_files[0], "wrong", &image, &error));
    for (const char *rule = "v0l"; *rule != '\0'; rule++) {
        struct chain_extent chain;
        image->state = (void *)rule;
        error = (struct error){0};
        assert_false(image_map(image, 5, 7, &chain, &error));
        assert_int_equal(error.kind, ERROR_MALFORMED);
        assert_string_equal(error.place, layer_files[0]->name);
    }
}

static void make_chain(uint32_t count)
{
    add_layer("D", "");
    for (uint32_t i = 1; i < count; i++) {
        char backing[16];
        snprintf(backing, sizeof(backing), "%u", i - 1);
        add_layer("U", backing);
    }
}

static void a_chain_of_the_allowed_length_works(void **state)
{
    (void)state;
    make_chain(IMAGE_CHAIN_MAX);
    struct image *image = open_chain_of(IMAGE_CHAIN_MAX - 1);
    assert_int_equal(image_chain_len(image), IMAGE_CHAIN_MAX);
    check_map(image, "D199:65536 ");
}

static void a_longer_chain_is_refused(void **state)
{
    (void)state;
    make_chain(IMAGE_CHAIN_MAX + 1);
    struct image *image;
    struct error error = {0};
    assert_true(open_image(layer_files[IMAGE_CHAIN_MAX], "", &image, &error));
    assert_false(image_open_chain(image, &error));
    assert_int_equal(error.kind, ERROR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_highest_score_wins_and_the_first_of_equals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_user_says_is_not_probed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_format_is_told_in_the_words_of_qemu_img, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_at_opening_says_which_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_image_that_has_something_decides, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_short_backing_file_reads_as_zeros_of_the_image_above, set_up, tear_down),
        cmocka_unit_test_setup_teardown(data_that_may_have_holes_is_looked_at_in_its_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_backing_file_that_is_not_open_is_not_zeros, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_backing_file_fails_the_chain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_loop_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(opaque_images_are_told_as_data_all_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_cannot_be_written_is_not_opened_to_be_changed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_extent_that_is_not_one_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_chain_of_the_allowed_length_works, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_longer_chain_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
