/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config-pages: writes what is said about the configuration from the schema, so that it cannot say
 * something else: config-pages markdown | man | toml | metrics. `make docs` puts each in its place.
 */
#include <stdio.h>
#include <string.h>

#include "metrics.h"
#include "schema.h"

static const char *full_name(const struct schema_key *key, char out[80])
{
    snprintf(out, 80, "%s%s%s", key->section, *key->section ? "." : "", key->name);
    return out;
}

static bool is_in(const struct schema_key *key, const struct schema_section *section)
{
    return strcmp(key->section, section->name) == 0;
}

/* ---- Markdown ---- */

static void key_markdown(const struct schema_key *key)
{
    char name[80], type[512];

    schema_describe(key, type, sizeof(type));
    printf("### `%s`\n\n%s\n\n", full_name(key, name), key->doc);
    printf("- %s", type);
    if (key->zero)
        printf("; 0: %s", key->zero);
    printf("\n- default: `%s`; for example `%s`\n", key->preset, key->example);
    printf("- SIGHUP %s\n", key->reload ? "applies it" : "does not apply it: it needs a restart");
    putchar('\n');
}

static void print_markdown(void)
{
    puts(
        "<!-- Made by `make docs` from daemon/schema.c: change that. -->\n"
        "# Configuration\n\n"
        "`hyper-derp -c FILE` reads TOML 1.0 (`.toml`) or YAML (`.yaml`, `.yml`): the ending of "
        "the\n"
        "name decides. Both carry the same tree. `hyper-derp -c FILE --check-config` says what is\n"
        "wrong with a file, all of it, each fault with its line and column; `--print-config` "
        "prints\n"
        "what is in effect, the command line included. A wrong configuration does not start (exit\n"
        "status 78), and on SIGHUP changes nothing.\n\n"
        "A small one:\n\n"
        "```toml\n"
        "[[listener]]\n"
        "address = \":443\"\n\n"
        "[tls]\n"
        "hostname = \"derp.example.com\"\n"
        "cert = \"/etc/hyper-derp/certs/fullchain.pem\"\n"
        "key = \"/etc/hyper-derp/certs/privkey.pem\"\n\n"
        "[metrics]\n"
        "address = \"127.0.0.1:9090\"\n"
        "```\n\n"
        "The same as YAML:\n\n"
        "```yaml\n"
        "listener:\n"
        "  - address: \":443\"\n"
        "tls:\n"
        "  hostname: derp.example.com\n"
        "  cert: /etc/hyper-derp/certs/fullchain.pem\n"
        "  key: /etc/hyper-derp/certs/privkey.pem\n"
        "metrics:\n"
        "  address: \"127.0.0.1:9090\"\n"
        "```\n\n"
        "Durations are strings with a unit (`\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"1h\"`). Sizes "
        "are\n"
        "integers, in bytes, or strings with a unit (`\"256KiB\"`, `\"1MiB\"`, `\"1GiB\"`). Rates "
        "are per\n"
        "second. In YAML only the plain part of the language is read: no anchors, aliases or "
        "tags,\n"
        "and `yes`, `no`, `on`, `off` are texts.\n");
    for (size_t i = 0; i < schema_section_count; i++) {
        const struct schema_section *section = &schema_sections[i];
        if (!*section->name)
            printf("## At the top\n\n%s\n\n", section->doc);
        else if (strcmp(section->name, "listener") == 0)
            printf("## `[[listener]]`\n\n%s\n\n", section->doc);
        else
            printf("## `[%s]`\n\n%s\n\n", section->name, section->doc);
        for (size_t j = 0; j < schema_key_count; j++)
            if (is_in(&schema_keys[j], section))
                key_markdown(&schema_keys[j]);
    }
}

/* ---- mdoc ---- */

/* A text as mdoc wants it: what stands between backquotes in a literal font, no line that begins
 * with a control character, each sentence on a line of its own. */
static void print_mdoc(const char *text)
{
    bool literal = false, line_start = true;

    for (; *text; text++) {
        if (*text == '`') {
            literal = !literal;
            fputs(literal ? "\\fB" : "\\fP", stdout);
            line_start = false;
        } else if (*text == '\\') {
            fputs("\\e", stdout);
        } else if ((*text == '.' || *text == '\'') && line_start) {
            printf("\\&%c", *text);
        } else if (*text == '-') {
            fputs(literal ? "\\-" : "-", stdout);
        } else if (*text == ' ' && !literal && (text[-1] == '.') && text[1] >= 'A' &&
                   text[1] <= 'Z') {
            putchar('\n');
        } else {
            putchar(*text);
        }
        line_start = *text == '\n';
    }
    putchar('\n');
}

static void key_mdoc(const struct schema_key *key)
{
    char type[512];

    schema_describe(key, type, sizeof(type));
    printf(".It Ic %s\n", key->name);
    print_mdoc(key->doc);
    printf(".Pp\nExpected:\n");
    print_mdoc(type);
    if (key->zero)
        printf("(0: %s).\n", key->zero);
    printf("The default is\n.Li %s .\n", key->preset);
    if (key->reload)
        puts("SIGHUP applies it.");
}

static void print_man(void)
{
    puts(".\\\" SPDX-License-Identifier: BSD-3-Clause\n"
         ".\\\" Made by 'make docs' from daemon/schema.c: change that.\n"
         ".Dd November 23, 2026\n.Dt HYPER-DERP.TOML 5\n.Os\n"
         ".Sh NAME\n.Nm hyper-derp.toml\n.Nd configuration of the DERP relay hyper-derp\n"
         ".Sh DESCRIPTION\n"
         "The file that\n.Xr hyper-derp 8\nreads with\n.Fl c .\n"
         "It is TOML 1.0 when its name ends in\n.Pa .toml ,\nand YAML when it ends in\n.Pa "
         ".yaml\nor\n"
         ".Pa .yml ;\nboth carry the same tree.\n"
         "An unknown key, a wrong type or a value out of range is an error that is told with file, "
         "line\n"
         "and column; the daemon then does not start, and on SIGHUP keeps running as it was.\n"
         ".Pp\n"
         "Durations are strings with a unit, ms, s, m or h.\n"
         "Sizes are integers, in bytes, or strings with a unit, KiB, MiB or GiB.\n"
         "Keys that are left out have their default.");
    for (size_t i = 0; i < schema_section_count; i++) {
        const struct schema_section *section = &schema_sections[i];
        if (!*section->name)
            printf(".Ss The process\n");
        else if (strcmp(section->name, "listener") == 0)
            printf(".Ss [[listener]]\n");
        else
            printf(".Ss [%s]\n", section->name);
        print_mdoc(section->doc);
        puts(".Bl -tag -width Ds");
        for (size_t j = 0; j < schema_key_count; j++)
            if (is_in(&schema_keys[j], section))
                key_mdoc(&schema_keys[j]);
        puts(".El");
    }
    puts(".Sh FILES\n.Bl -tag -width Ds\n.It Pa /etc/hyper-derp/config.toml\n"
         "the configuration of the service\n.El\n"
         ".Sh EXAMPLES\nA relay with a certificate of its own, for an address:\n"
         ".Bd -literal -offset indent\n"
         "[tls]\nhostname = \"203.0.113.5\"\n.Ed\n"
         ".Pp\nA relay for trying out:\n.Bd -literal -offset indent\n"
         "[[listener]]\naddress = \"127.0.0.1:3340\"\ntls = false\n\n"
         "[metrics]\naddress = \"127.0.0.1:9090\"\n.Ed\n"
         ".Sh SEE ALSO\n.Xr hyper-derp 8");
}

/* ---- config.toml ---- */

/* As a comment, in lines of at most 96 characters. */
static void print_comment(const char *text)
{
    size_t column = 0;

    for (const char *word = text; *word;) {
        size_t len = strcspn(word, " ");
        if (column > 0 && column + 1 + len > 96) {
            putchar('\n');
            column = 0;
        }
        column += (size_t)printf("%s", column ? " " : "# ");
        for (size_t i = 0; i < len; i++) {
            if (word[i] != '`') {
                putchar(word[i]);
                column++;
            }
        }
        word += len + strspn(word + len, " ");
    }
    putchar('\n');
}

static void key_toml(const struct schema_key *key)
{
    print_comment(key->doc);
    if (key->zero)
        printf("# 0: %s.\n", key->zero);
    printf("#%s = %s\n\n", key->name, key->preset);
}

static void print_toml(void)
{
    puts("# Configuration of hyper-derp, a DERP relay: see hyper-derp.toml(5).\n"
         "# Each key stands here with its default, commented out. After a change:\n"
         "#   hyper-derp -c /etc/hyper-derp/config.toml --check-config\n"
         "#   systemctl reload hyper-derp     (or restart: the manual says which keys need it)\n");
    for (size_t i = 0; i < schema_section_count; i++) {
        const struct schema_section *section = &schema_sections[i];
        bool listener = strcmp(section->name, "listener") == 0;
        print_comment(section->doc);
        if (*section->name)
            printf(listener ? "#[[%s]]\n\n" : "[%s]\n\n", section->name);
        else
            putchar('\n');
        for (size_t j = 0; j < schema_key_count; j++)
            if (is_in(&schema_keys[j], section))
                key_toml(&schema_keys[j]);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";

    if (strcmp(what, "markdown") == 0)
        print_markdown();
    else if (strcmp(what, "man") == 0)
        print_man();
    else if (strcmp(what, "toml") == 0)
        print_toml();
    else if (strcmp(what, "metrics") == 0)
        metrics_describe(stdout);
    else {
        fputs("usage: config-pages markdown | man | toml | metrics\n", stderr);
        return 64;
    }
    return 0;
}
