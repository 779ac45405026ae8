/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration as TOML. */
#include <errno.h>
#include <string.h>

#include "schema.h"

static void print_keys(const char *section, const void *base, FILE *out)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        if (strcmp(schema_keys[i].section, section) != 0)
            continue;
        fprintf(out, "%s = ", schema_keys[i].name);
        schema_print_value(&schema_keys[i], base, out);
        fputc('\n', out);
    }
}

int config_print(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < schema_section_count; i++) {
        const char *section = schema_sections[i].name;
        if (strcmp(section, "listener") == 0) {
            for (size_t j = 0; j < config->listener_count; j++) {
                fputs("\n[[listener]]\n", out);
                print_keys(section, &config->listeners[j], out);
            }
            continue;
        }
        if (*section)
            fprintf(out, "\n[%s]\n", section);
        print_keys(section, config, out);
    }
    return fflush(out) == 0 && !ferror(out) ? 0 : -EIO;
}
