/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of formats (-o NAME=VALUE) for new images and for those that are amended, in the order in which qemu-img
 * prints them: names, types, defaults and words of qemu-img 7.2. The host prints and checks them before a machine runs,
 * and the guest refuses what its format does not have; what values mean is the format's own to say.
 *
 * A row is OPTION(name, type, stage, default, help):
 *   - type: of enum option_type
 *   - stage: NEW of a new image, AMEND of one that exists, BOTH, or FILE of the file around a new image
 *   - default: what `create` prints where none is given; NULL: nothing
 *   - help: NULL: lists leave it out, as qemu-img 7.2 does not have it
 */
#ifndef INSTAR_ABI_OPTION_TABLES_H
#define INSTAR_ABI_OPTION_TABLES_H

enum option_type {
    OPTION_TEXT,
    OPTION_FLAG,
    OPTION_NUMBER,
    OPTION_SIZE,
};

enum option_stage {
    OPTION_STAGE_NEW,
    OPTION_STAGE_AMEND,
    OPTION_STAGE_BOTH,
    OPTION_STAGE_FILE,
};

/* clang-format off */
/* Of the file around an image whose preallocation is the format's own. */
#define FORMAT_OPTIONS_FILE_HINTS(OPTION) \
    OPTION("nocow", FLAG, FILE, NULL, "Turn off copy-on-write (valid only on btrfs)") \
    OPTION("extent_size_hint", SIZE, FILE, NULL, "Extent size hint for the image file, 0 to disable")

/* Of the file around any other one. */
#define FORMAT_OPTIONS_FILE(OPTION) \
    OPTION("nocow", FLAG, FILE, NULL, "Turn off copy-on-write (valid only on btrfs)") \
    OPTION("preallocation", TEXT, FILE, NULL, "Preallocation mode (allowed values: off, falloc, full)") \
    OPTION("extent_size_hint", SIZE, FILE, NULL, "Extent size hint for the image file, 0 to disable")

/* Of LUKS, alone or within another format. `prefix` is a string literal. */
#define FORMAT_OPTIONS_CIPHER(OPTION, prefix) \
    OPTION(prefix "cipher-alg", TEXT, NEW, NULL, "Name of encryption cipher algorithm") \
    OPTION(prefix "cipher-mode", TEXT, NEW, NULL, "Name of encryption cipher mode") \
    OPTION(prefix "ivgen-alg", TEXT, NEW, NULL, "Name of IV generator algorithm") \
    OPTION(prefix "ivgen-hash-alg", TEXT, NEW, NULL, "Name of IV generator hash algorithm") \
    OPTION(prefix "hash-alg", TEXT, NEW, NULL, "Name of encryption hash algorithm") \
    OPTION(prefix "iter-time", NUMBER, BOTH, NULL, "Time to spend in PBKDF in milliseconds")

#define FORMAT_OPTIONS_KEY_SLOTS(OPTION, prefix) \
    OPTION(prefix "keyslot", NUMBER, AMEND, NULL, "Select a single keyslot to modify explicitly") \
    OPTION(prefix "new-secret", TEXT, AMEND, NULL, \
           "New secret to set in the matching keyslots. Empty string to erase") \
    OPTION(prefix "old-secret", TEXT, AMEND, NULL, "Select all keyslots that match this password") \
    OPTION(prefix "state", TEXT, AMEND, NULL, "Select new state of affected keyslots (active/inactive)")

#define FORMAT_OPTIONS_RAW(OPTION) \
    OPTION("size", SIZE, NEW, NULL, "Virtual disk size") \
    FORMAT_OPTIONS_FILE(OPTION)

#define FORMAT_OPTIONS_QCOW2(OPTION) \
    OPTION("encryption", FLAG, NEW, NULL, \
           "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)") \
    OPTION("encrypt.format", TEXT, NEW, NULL, "Encrypt the image, format choices: 'aes', 'luks'") \
    OPTION("encrypt.key-secret", TEXT, NEW, NULL, "ID of secret providing qcow AES key or LUKS passphrase") \
    FORMAT_OPTIONS_CIPHER(OPTION, "encrypt.") \
    OPTION("cluster_size", SIZE, NEW, "65536", "qcow2 cluster size") \
    OPTION("extended_l2", FLAG, NEW, "off", "Extended L2 tables") \
    OPTION("preallocation", TEXT, NEW, NULL, "Preallocation mode (allowed values: off, metadata, falloc, full)") \
    OPTION("compression_type", TEXT, NEW, "zlib", "Compression method used for image cluster compression") \
    OPTION("size", SIZE, BOTH, NULL, "Virtual disk size") \
    OPTION("compat", TEXT, BOTH, NULL, "Compatibility level (v2 [0.10] or v3 [1.1])") \
    OPTION("backing_file", TEXT, BOTH, NULL, "File name of a base image") \
    OPTION("backing_fmt", TEXT, BOTH, NULL, "Image format of the base image") \
    OPTION("data_file", TEXT, BOTH, NULL, "File name of an external data file") \
    OPTION("data_file_raw", FLAG, BOTH, NULL, "The external data file must stay valid as a raw image") \
    OPTION("lazy_refcounts", FLAG, BOTH, "off", "Postpone refcount updates") \
    OPTION("refcount_bits", NUMBER, BOTH, "16", "Width of a reference count entry in bits") \
    FORMAT_OPTIONS_FILE_HINTS(OPTION) \
    FORMAT_OPTIONS_KEY_SLOTS(OPTION, "encrypt.")

#define FORMAT_OPTIONS_VDI(OPTION) \
    OPTION("size", SIZE, NEW, NULL, "Virtual disk size") \
    OPTION("static", FLAG, NEW, "off", "VDI static (pre-allocated) image") \
    FORMAT_OPTIONS_FILE(OPTION)

#define FORMAT_OPTIONS_VPC(OPTION) \
    OPTION("size", SIZE, NEW, NULL, "Virtual disk size") \
    OPTION("subformat", TEXT, NEW, NULL, \
           "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ") \
    OPTION("force_size", FLAG, NEW, NULL, \
           "Force disk size calculation to use the actual size specified, rather than using the nearest " \
           "CHS-based calculation") \
    FORMAT_OPTIONS_FILE(OPTION)

#define FORMAT_OPTIONS_VHDX(OPTION) \
    OPTION("size", SIZE, NEW, NULL, "Virtual disk size; max of 64TB.") \
    OPTION("log_size", SIZE, NEW, "1048576", "Log size; min 1MB.") \
    OPTION("block_size", SIZE, NEW, "0", \
           "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.") \
    OPTION("subformat", TEXT, NEW, NULL, \
           "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.") \
    OPTION("block_state_zero", FLAG, NEW, NULL, \
           "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' " \
           "when using 'qemu-img convert' with subformat=dynamic.") \
    FORMAT_OPTIONS_FILE(OPTION)

#define FORMAT_OPTIONS_QED(OPTION) \
    OPTION("size", SIZE, NEW, NULL, "Virtual disk size") \
    OPTION("backing_file", TEXT, NEW, NULL, "File name of a base image") \
    OPTION("backing_fmt", TEXT, NEW, NULL, "Image format of the base image") \
    OPTION("cluster_size", SIZE, NEW, "65536", "Cluster size (in bytes)") \
    OPTION("table_size", SIZE, NEW, NULL, "L1/L2 table size (in clusters)") \
    FORMAT_OPTIONS_FILE(OPTION)

#define FORMAT_OPTIONS_PARALLELS(OPTION) \
    OPTION("size", SIZE, NEW, NULL, "Virtual disk size") \
    OPTION("cluster_size", SIZE, NEW, "1048576", "Parallels image cluster size") \
    FORMAT_OPTIONS_FILE(OPTION)

#define FORMAT_OPTIONS_QCOW(OPTION) \
    OPTION("size", SIZE, NEW, NULL, "Virtual disk size") \
    OPTION("backing_file", TEXT, NEW, NULL, "File name of a base image") \
    OPTION("backing_fmt", TEXT, NEW, NULL, "Format of the backing image") \
    OPTION("encryption", FLAG, NEW, NULL, \
           "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)") \
    OPTION("encrypt.format", TEXT, NEW, NULL, "Encrypt the image, format choices: 'aes'") \
    OPTION("encrypt.key-secret", TEXT, NEW, NULL, "ID of the secret that provides the AES encryption key") \
    FORMAT_OPTIONS_FILE(OPTION)

#define FORMAT_OPTIONS_VMDK(OPTION) \
    OPTION("size", SIZE, NEW, NULL, "Virtual disk size") \
    OPTION("adapter_type", TEXT, NEW, NULL, \
           "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX") \
    OPTION("backing_file", TEXT, NEW, NULL, "File name of a base image") \
    OPTION("backing_fmt", TEXT, NEW, NULL, "Must be 'vmdk' if present") \
    OPTION("compat6", FLAG, NEW, "off", "VMDK version 6 image") \
    OPTION("hwversion", TEXT, NEW, "undefined", "VMDK hardware version") \
    OPTION("toolsversion", TEXT, NEW, NULL, "VMware guest tools version") \
    OPTION("subformat", TEXT, NEW, NULL, \
           "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | " \
           "twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ") \
    OPTION("zeroed_grain", FLAG, NEW, NULL, "Enable efficient zero writes using the zeroed-grain GTE feature") \
    FORMAT_OPTIONS_FILE(OPTION)

#define FORMAT_OPTIONS_LUKS(OPTION) \
    OPTION("size", SIZE, NEW, NULL, "Virtual disk size") \
    OPTION("key-secret", TEXT, NEW, NULL, "ID of the secret that provides the keyslot passphrase") \
    FORMAT_OPTIONS_CIPHER(OPTION, "") \
    OPTION("detached-header", FLAG, NEW, NULL, NULL) \
    FORMAT_OPTIONS_FILE(OPTION) \
    FORMAT_OPTIONS_KEY_SLOTS(OPTION, "")
/* clang-format on */

#endif
