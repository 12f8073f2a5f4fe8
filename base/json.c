/* Quoting for JSON: the access log, the server's own log and rmd_json_quote() say the same of the
 * same octets. Text is ASCII nearly always, so runs of it are copied by a loop of their own; a
 * character that may need an escape is looked at one by one. */
#include "base/json.h"

/* ASCII that stands for itself: a table, since this is asked of every octet. */
static const bool is_plain[256] = {
    [' '] = true, ['!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};

static bool is_unsafe(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x061c ||
           (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

/* The code point of a valid sequence of n octets. */
static unsigned decode(const unsigned char *at, size_t n)
{
    unsigned code = n == 1 ? at[0] : at[0] & (0x7fU >> n);
    for (size_t i = 1; i < n; i++)
        code = code << 6 | (at[i] & 0x3fU);
    return code;
}

static size_t put_code(char out[JSON_ESCAPE_MAX], unsigned code)
{
    static const char digits[] = "0123456789abcdef";
    out[0] = '\\';
    out[1] = 'u';
    for (size_t i = 0; i < 4; i++)
        out[2 + i] = digits[code >> (12 - 4 * i) & 15];
    return JSON_ESCAPE_MAX;
}

/* The character that text begins with. *out_taken: its octets. Returns bytes written */
static size_t put_character(char out[JSON_ESCAPE_MAX], struct str text, size_t *out_taken)
{
    size_t n = str_utf8_length(text.p, text.len);
    *out_taken = n > 0 ? n : 1;
    if (n == 0)
        return put_code(out, 0xfffd);
    unsigned code = decode((const unsigned char *)text.p, n);
    if (is_unsafe(code))
        return put_code(out, code);
    size_t escape = code == '"' || code == '\\';
    out[0] = '\\';
    memcpy(out + escape, text.p, n);
    return escape + n;
}

size_t json_escape(char *out, size_t cap, struct str text, size_t *out_taken)
{
    size_t len = 0;
    size_t i = 0;
    while (i < text.len && len < cap) {
        unsigned char c = (unsigned char)text.p[i];
        if (is_plain[c]) {
            out[len++] = (char)c;
            i++;
            continue;
        }
        char character[JSON_ESCAPE_MAX];
        size_t taken;
        size_t n = put_character(character, str_make(text.p + i, text.len - i), &taken);
        if (n > cap - len)
            break;
        memcpy(out + len, character, n);
        len += n;
        i += taken;
    }
    if (out_taken)
        *out_taken = i;
    return len;
}
