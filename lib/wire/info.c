/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ClientInfo and ServerInfo as JSON. Members are named and left out as the Go implementation does
 * it; as there, a member that is null counts as absent and the last of repeated members counts.
 */
#include "wire/info.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <jansson.h>
#include <sodium.h>

#include "wire/frame.h"
#include "wire/utf8.h"

/* Reads an object. jansson itself bounds the depth, and refuses what follows the object. */
static int load_object(json_t **out, const uint8_t *json, size_t len)
{
    json_error_t error = {0};

    if (len > FRAME_MAX_CLIENT_INFO)
        return -EBADMSG;
    *out = json_loadb((const char *)json, len, JSON_ALLOW_NUL, &error);
    if (!*out) {
        /* The decoder has no error code for an allocation that failed: it leaves none. */
        bool no_memory = json_error_code(&error) == json_error_unknown;
        return no_memory ? -ENOMEM : -EBADMSG;
    }
    if (!json_is_object(*out)) {
        json_decref(*out);
        return -EBADMSG;
    }
    return 0;
}

/* The three readers leave *out as it is when the member is absent or null. */

static int read_bool(const json_t *object, const char *name, bool *out)
{
    const json_t *member = json_object_get(object, name);

    if (!member || json_is_null(member))
        return 0;
    if (!json_is_boolean(member))
        return -EBADMSG;
    *out = json_is_true(member);
    return 0;
}

static int read_integer(const json_t *object, const char *name, int64_t min, int64_t max,
                        int64_t *out)
{
    const json_t *member = json_object_get(object, name);

    if (!member || json_is_null(member))
        return 0;
    if (!json_is_integer(member))
        return -EBADMSG;
    int64_t value = json_integer_value(member);
    if (value < min || value > max)
        return -EBADMSG;
    *out = value;
    return 0;
}

static int read_string(const json_t *object, const char *name, const char **out, size_t *len)
{
    const json_t *member = json_object_get(object, name);

    if (!member || json_is_null(member))
        return 0;
    if (!json_is_string(member))
        return -EBADMSG;
    *out = json_string_value(member);
    *len = json_string_length(member);
    return 0;
}

static int read_version(const json_t *object, int *out)
{
    int64_t version = 0;
    int err = read_integer(object, "version", INT_MIN, INT_MAX, &version);

    *out = (int)version;
    return err;
}

static int read_mesh_key(const json_t *object, struct client_info *out)
{
    const char *hex = "";
    size_t len = 0;
    size_t size = 0;
    int err = read_string(object, "meshKey", &hex, &len);

    if (err < 0 || len == 0)
        return err;
    if (len != (size_t)2 * INFO_MESH_KEY_SIZE ||
        sodium_hex2bin(out->mesh_key, sizeof(out->mesh_key), hex, len, NULL, &size, NULL) != 0 ||
        size != sizeof(out->mesh_key))
        return -EBADMSG;
    out->has_mesh_key = !sodium_is_zero(out->mesh_key, sizeof(out->mesh_key));
    return 0;
}

static int read_app_name(const json_t *object, struct client_info *out)
{
    const char *name = "";
    size_t len = 0;
    int err = read_string(object, "AppName", &name, &len);

    if (err == 0)
        utf8_copy_printable(out->app_name, INFO_MAX_APP_NAME, name, len);
    return err;
}

int client_info_parse(struct client_info *out, const uint8_t *json, size_t len)
{
    json_t *object = NULL;
    struct client_info info = {0};
    int err = load_object(&object, json, len);

    if (err < 0)
        return err;
    if ((err = read_version(object, &info.version)) == 0 &&
        (err = read_bool(object, "CanAckPings", &info.can_ack_pings)) == 0 &&
        (err = read_bool(object, "IsProber", &info.is_prober)) == 0 &&
        (err = read_app_name(object, &info)) == 0 && (err = read_mesh_key(object, &info)) == 0)
        *out = info;
    json_decref(object);
    sodium_memzero(&info, sizeof(info));
    return err;
}

int server_info_parse(struct server_info *out, const uint8_t *json, size_t len)
{
    json_t *object = NULL;
    struct server_info info = {0};
    int err = load_object(&object, json, len);

    if (err < 0)
        return err;
    if ((err = read_version(object, &info.version)) == 0 &&
        (err = read_integer(object, "TokenBucketBytesPerSecond", 0, INT64_MAX,
                            &info.token_bucket_bytes_per_second)) == 0 &&
        (err = read_integer(object, "TokenBucketBytesBurst", 0, INT64_MAX,
                            &info.token_bucket_bytes_burst)) == 0)
        *out = info;
    json_decref(object);
    return err;
}

/* Adds a member; the value is given away, also on failure. NULL is a value that found no memory. */
static bool add(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

/* Writes an object that was filled, or was not for want of memory, and frees it. */
static ssize_t dump_object(json_t *object, bool filled, uint8_t *out, size_t room)
{
    size_t size = filled ? json_dumpb(object, (char *)out, room, JSON_COMPACT) : 0;

    json_decref(object);
    if (size == 0)
        return -ENOMEM;
    return size > room ? -ENOSPC : (ssize_t)size;
}

static bool add_mesh_key(json_t *object, const uint8_t key[INFO_MESH_KEY_SIZE])
{
    char hex[2 * INFO_MESH_KEY_SIZE + 1];

    sodium_bin2hex(hex, sizeof(hex), key, INFO_MESH_KEY_SIZE);
    bool added = add(object, "meshKey", json_string(hex));
    sodium_memzero(hex, sizeof(hex));
    return added;
}

ssize_t client_info_format(const struct client_info *info, uint8_t *out, size_t room)
{
    char name[INFO_MAX_APP_NAME + 1];
    json_t *object = json_object();

    utf8_copy_printable(name, INFO_MAX_APP_NAME, info->app_name,
                        strnlen(info->app_name, INFO_MAX_APP_NAME));
    bool filled = object && (!info->has_mesh_key || add_mesh_key(object, info->mesh_key)) &&
                  (info->version == 0 || add(object, "version", json_integer(info->version))) &&
                  add(object, "CanAckPings", json_boolean(info->can_ack_pings)) &&
                  (!info->is_prober || add(object, "IsProber", json_true())) &&
                  (name[0] == '\0' || add(object, "AppName", json_string(name)));
    return dump_object(object, filled, out, room);
}

ssize_t server_info_format(const struct server_info *info, uint8_t *out, size_t room)
{
    int64_t rate = info->token_bucket_bytes_per_second;
    int64_t burst = info->token_bucket_bytes_burst;

    if (rate < 0 || burst < 0)
        return -EBADMSG;

    json_t *object = json_object();
    bool filled = object &&
                  (info->version == 0 || add(object, "version", json_integer(info->version))) &&
                  (rate == 0 || add(object, "TokenBucketBytesPerSecond", json_integer(rate))) &&
                  (burst == 0 || add(object, "TokenBucketBytesBurst", json_integer(burst)));
    return dump_object(object, filled, out, room);
}
