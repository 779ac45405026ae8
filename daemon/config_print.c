/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration as TOML. */
#include <errno.h>
#include <string.h>

#include "schema.h"

/* A URL as far as its host, and what stands for the rest. It has passed check_url(): what is behind
 * the host begins with one of these. */
static void print_without_secret(const char *url, FILE *out)
{
    const char *authority = strstr(url, "://");
    size_t shown = authority ? (size_t)(authority + 3 - url) : 0;

    shown += strcspn(url + shown, "/?#");
    fprintf(out, "\"%.*s%s\"", (int)shown, url, url[shown] ? "/***" : "");
}

static void print_keys(const char *section, const void *base, bool secrets, FILE *out)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        if (strcmp(schema_keys[i].section, section) != 0)
            continue;
        fprintf(out, "%s = ", schema_keys[i].name);
        if (schema_keys[i].secret && !secrets)
            print_without_secret(schema_string(&schema_keys[i], base), out);
        else
            schema_print_value(&schema_keys[i], base, out);
        fputc('\n', out);
    }
}

int config_print(const struct config *config, bool secrets, FILE *out)
{
    for (size_t i = 0; i < schema_section_count; i++) {
        const char *section = schema_sections[i].name;
        if (strcmp(section, "listener") == 0) {
            for (size_t j = 0; j < config->listener_count; j++) {
                fputs("\n[[listener]]\n", out);
                print_keys(section, &config->listeners[j], secrets, out);
            }
            continue;
        }
        if (*section)
            fprintf(out, "\n[%s]\n", section);
        print_keys(section, config, secrets, out);
    }
    return fflush(out) == 0 && !ferror(out) ? 0 : -EIO;
}
