/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. libyaml looks
 * at encodings as well, but in blocks ahead of what it parses, and tells a byte offset only. */
#include "config/utf8.h"

#include <stdint.h>

/* Reads one character. Returns its length in bytes; 0 when there is none */
static size_t decode(const unsigned char *p, size_t len, uint32_t *out_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length: no overlong form */
    size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    if (n == 0 || n > len)
        return 0;
    uint32_t code = n == 1 ? p[0] : p[0] & (0x7FU >> n);
    for (size_t i = 1; i < n; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        code = code << 6 | (p[i] & 0x3FU);
    }
    if (code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    *out_code = code;
    return n;
}

static bool is_printable(uint32_t code)
{
    if (code < 0x20)
        return code == '\t' || code == '\n' || code == '\r';
    if (code < 0xA0)
        return code < 0x7F || code == 0x85; /* next line */
    return code != 0xFFFE && code != 0xFFFF;
}

bool utf8_find_fault(struct str text, struct utf8_fault *out_fault)
{
    struct utf8_fault at = {.line = 1, .column = 1};
    for (size_t i = 0; i < text.len;) {
        uint32_t code = 0;
        size_t n = decode((const unsigned char *)text.p + i, text.len - i, &code);
        if (n == 0)
            at.what = "is not UTF-8";
        else if (code == 0)
            at.what = "is a NUL byte";
        else if (!is_printable(code) || (code == 0xFEFF && i > 0))
            at.what = "is a control character";
        if (at.what) {
            *out_fault = at;
            return true;
        }
        i += n;
        at.column++;
        if (code == '\n') {
            at.line++;
            at.column = 1;
            at.line_at = i;
        }
    }
    return false;
}
