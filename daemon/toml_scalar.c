/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers, booleans, dates and times: everything that is one word. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toml_reader.h"

/* A number may be written with any number of digits; a word has at most as many as this. */
#define MAX_WORD 400

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '-' || c == '_' || c == '.' || c == ':';
}

/* Digits of a base with single underscores between them, without those to out. Returns the end, or
 * NULL. */
static const char *take_digits(const char *at, unsigned base, char **out)
{
    static const char all[] = "0123456789abcdef";
    bool digit_before = false;

    for (;; at++) {
        char lower = *at >= 'A' && *at <= 'F' ? (char)(*at + 32) : *at;
        const char *digit = *at ? memchr(all, lower, base) : NULL;
        if (!digit && !(*at == '_' && digit_before))
            break;
        digit_before = digit != NULL;
        if (digit)
            *(*out)++ = *at;
    }
    return digit_before ? at : NULL;
}

/* 0xDEAD_beef, 0o755, 0b1101. */
static bool read_based(const char *word, int64_t *value, bool *too_large)
{
    unsigned base = word[1] == 'x' ? 16 : word[1] == 'o' ? 8 : 2;
    char digits[MAX_WORD + 1], *out = digits;
    const char *end = take_digits(word + 2, base, &out);

    *out = '\0';
    if (!end || *end)
        return false;
    errno = 0;
    unsigned long long number = strtoull(digits, NULL, (int)base);
    *too_large = errno == ERANGE || number > INT64_MAX;
    *value = (int64_t)number;
    return true;
}

static bool leading_zero(const char *digits, const char *end)
{
    return end - digits > 1 && digits[0] == '0';
}

/* Decimal: an integer, or with a fraction or an exponent a float. */
static bool read_decimal(const char *word, struct document_node *node, bool *too_large)
{
    char clean[MAX_WORD + 1], *out = clean;
    const char *at = word;

    if (*at == '+' || *at == '-')
        *out++ = *at++;
    char *first = out;
    at = take_digits(at, 10, &out);
    if (!at || leading_zero(first, out))
        return false;
    if (*at == '\0') {
        *out = '\0';
        errno = 0;
        node->kind = DOCUMENT_INTEGER;
        node->integer = strtoll(clean, NULL, 10);
        *too_large = errno == ERANGE;
        return true;
    }
    if (*at == '.') {
        *out++ = *at++;
        at = take_digits(at, 10, &out);
    }
    if (at && (*at == 'e' || *at == 'E')) {
        *out++ = *at++;
        if (*at == '+' || *at == '-')
            *out++ = *at++;
        at = take_digits(at, 10, &out);
    }
    if (!at || *at)
        return false;
    *out = '\0';
    node->kind = DOCUMENT_FLOAT;
    node->real = strtod(clean, NULL);
    return true;
}

static bool read_special(const char *word, double *value)
{
    double sign = *word == '-' ? -1 : 1;

    if (*word == '+' || *word == '-')
        word++;
    if (strcmp(word, "inf") == 0)
        *value = sign * (double)INFINITY;
    else if (strcmp(word, "nan") == 0)
        *value = copysign((double)NAN, sign);
    else
        return false;
    return true;
}

static bool read_number(const char *word, struct document_node *node, bool *too_large)
{
    if (word[0] == '0' && (word[1] == 'x' || word[1] == 'o' || word[1] == 'b')) {
        node->kind = DOCUMENT_INTEGER;
        return read_based(word, &node->integer, too_large);
    }
    if (read_special(word, &node->real)) {
        node->kind = DOCUMENT_FLOAT;
        return true;
    }
    return read_decimal(word, node, too_large);
}

/* ---- Dates and times, RFC 3339 ---- */

/* Exactly so many digits. Returns the end, or NULL. */
static const char *take_number(const char *at, unsigned digits, unsigned *value)
{
    for (*value = 0; digits > 0; digits--, at++) {
        if (!is_digit(*at))
            return NULL;
        *value = *value * 10 + (unsigned)(*at - '0');
    }
    return at;
}

static unsigned days_of(unsigned year, unsigned month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

static const char *take_date(const char *at)
{
    unsigned year, month, day;

    if (!(at = take_number(at, 4, &year)) || *at != '-' || !(at = take_number(at + 1, 2, &month)) ||
        *at != '-' || !(at = take_number(at + 1, 2, &day)))
        return NULL;
    if (month < 1 || month > 12 || day < 1 || day > days_of(year, month))
        return NULL;
    return at;
}

static const char *take_time(const char *at)
{
    unsigned hour, minute, second;

    if (!(at = take_number(at, 2, &hour)) || *at != ':' ||
        !(at = take_number(at + 1, 2, &minute)) || *at != ':' ||
        !(at = take_number(at + 1, 2, &second)))
        return NULL;
    /* 60 is a leap second. */
    if (hour > 23 || minute > 59 || second > 60)
        return NULL;
    if (*at != '.')
        return at;
    const char *fraction = ++at;
    while (is_digit(*at))
        at++;
    return at > fraction ? at : NULL;
}

static const char *take_offset(const char *at)
{
    unsigned hour, minute;

    if (*at == 'Z' || *at == 'z')
        return at + 1;
    if (!(at = take_number(at + 1, 2, &hour)) || *at != ':' ||
        !(at = take_number(at + 1, 2, &minute)))
        return NULL;
    return hour > 23 || minute > 59 ? NULL : at;
}

/* Reads a date, a time or both; normalises its letters in place. */
static bool read_moment(char *word, enum document_kind *kind)
{
    const char *at = take_date(word);

    if (!at) {
        *kind = DOCUMENT_LOCAL_TIME;
        at = take_time(word);
        return at && *at == '\0';
    }
    *kind = DOCUMENT_LOCAL_DATE;
    if (*at == '\0')
        return true;
    if (*at != 'T' && *at != 't' && *at != ' ')
        return false;
    word[at - word] = 'T';
    at = take_time(at + 1);
    *kind = DOCUMENT_LOCAL_DATETIME;
    if (!at || *at == '\0')
        return at != NULL;
    *kind = DOCUMENT_OFFSET_DATETIME;
    if (*at == 'z')
        word[at - word] = 'Z';
    if (*at != 'Z' && *at != '+' && *at != '-')
        return false;
    at = take_offset(at);
    return at && *at == '\0';
}

static bool looks_like_moment(const char *word)
{
    unsigned digits = 0;

    while (is_digit(word[digits]))
        digits++;
    return (digits == 4 && word[4] == '-') || (digits == 2 && word[2] == ':');
}

/* ---- Any of them ---- */

/* Takes the word that stands here; a date may be followed by one space and a time. */
static bool take_word(struct toml_reader *reader, char word[MAX_WORD + 1],
                      struct document_place place)
{
    const char *start = reader->at;
    unsigned year;
    char shown[16];

    word[0] = '\0';
    while (is_word(toml_peek(reader, 0)))
        reader->at++;
    if (reader->at - start == 10 && take_number(start, 4, &year) && start[4] == '-' &&
        toml_peek(reader, 0) == ' ' && is_digit(toml_peek(reader, 1))) {
        reader->at++;
        while (is_word(toml_peek(reader, 0)))
            reader->at++;
    }
    size_t len = (size_t)(reader->at - start);
    if (len == 0)
        return toml_fault(reader, place, "expected a value, found %s", toml_show(reader, shown));
    if (len > MAX_WORD)
        return toml_fault(reader, place, "a value of %zu characters; text needs quotes", len);
    memcpy(word, start, len);
    word[len] = '\0';
    return true;
}

static bool set_text(struct toml_reader *reader, struct document_node *node, const char *word)
{
    node->text_len = strlen(word);
    node->text = document_copy(reader->document, word, node->text_len);
    return node->text || toml_out_of_memory(reader);
}

bool toml_read_scalar(struct toml_reader *reader, struct document_node **out)
{
    struct document_place place = toml_place(reader);
    char word[MAX_WORD + 1];
    bool too_large = false;

    if (!take_word(reader, word, place))
        return false;
    struct document_node *node = document_node_new(reader->document, DOCUMENT_BOOLEAN, place);
    if (!node)
        return toml_out_of_memory(reader);
    *out = node;
    if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0) {
        node->boolean = word[0] == 't';
        return true;
    }
    if (looks_like_moment(word)) {
        if (read_moment(word, &node->kind))
            return set_text(reader, node, word);
        return toml_fault(
            reader, place,
            "%.100s is no date or time: expected the form 2026-01-31T23:59:59Z, or a part "
            "of it",
            word);
    }
    if (!read_number(word, node, &too_large))
        return toml_fault(
            reader, place,
            "%.100s is no value: text needs quotes, numbers look like 42, 1_000, 0xff or "
            "1.5",
            word);
    if (too_large)
        return toml_fault(reader, place, "%.100s is too large: integers have 64 bits", word);
    return true;
}
