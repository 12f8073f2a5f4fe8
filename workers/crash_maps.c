/* A line of /proc/PID/maps (proc(5)):
 *     7f0a1c000000-7f0a1c022000 r-xp 00001000 fd:00 1234      /usr/lib/libc.so.6
 * The mappings of one object follow each other, the one of its first octets first; its address is
 * what offsets in the object are counted from. */
#include "workers/crash_maps.h"

#include <elf.h>
#include <link.h>
#include <string.h>

void crash_maps_init(struct crash_maps *maps, struct remains *remains, bool has_memory)
{
    maps->remains = remains;
    maps->has_memory = has_memory;
    maps->len = 0;
    maps->path[0] = '\0';
    maps->base = maps->base_end = 0;
    maps->module = REMAINS_NO_MODULE;
    remains->n_modules = 0;
}

/* ---- build ids ---- */

size_t crash_maps_build_id(const unsigned char *base, size_t len,
                           unsigned char out[REMAINS_BUILD_ID_MAX])
{
    ElfW(Ehdr) head;
    if (len < sizeof head || memcmp(base, ELFMAG, SELFMAG) != 0)
        return 0;
    memcpy(&head, base, sizeof head);
    for (unsigned i = 0; i < head.e_phnum; i++) {
        ElfW(Phdr) segment;
        size_t at = head.e_phoff + i * sizeof segment;
        if (at > len || len - at < sizeof segment)
            return 0;
        memcpy(&segment, base + at, sizeof segment);
        if (segment.p_type != PT_NOTE || segment.p_offset > len ||
            segment.p_filesz > len - segment.p_offset)
            continue;
        const unsigned char *note = base + segment.p_offset;
        size_t left = segment.p_filesz;
        ElfW(Nhdr) n;
        while (left >= sizeof n) {
            memcpy(&n, note, sizeof n);
            size_t name = ((size_t)n.n_namesz + 3) & ~(size_t)3;
            size_t desc = ((size_t)n.n_descsz + 3) & ~(size_t)3;
            if (name > left - sizeof n || desc > left - sizeof n - name)
                break;
            if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 &&
                memcmp(note + sizeof n, "GNU", 4) == 0 && n.n_descsz <= REMAINS_BUILD_ID_MAX) {
                memcpy(out, note + sizeof n + name, n.n_descsz);
                return n.n_descsz;
            }
            note += sizeof n + name + desc;
            left -= sizeof n + name + desc;
        }
    }
    return 0;
}

/* ---- lines ---- */

static const char *take_hex(const char *at, uint64_t *out)
{
    *out = 0;
    for (;; at++) {
        if (*at >= '0' && *at <= '9')
            *out = *out << 4 | (uint64_t)(*at - '0');
        else if (*at >= 'a' && *at <= 'f')
            *out = *out << 4 | (uint64_t)(*at - 'a' + 10);
        else
            return at;
    }
}

static const char *skip_word(const char *at)
{
    while (*at && *at != ' ')
        at++;
    while (*at == ' ')
        at++;
    return at;
}

/* Gives the object of this line an index. Returns it; REMAINS_NO_MODULE when there is no room */
static uint16_t take_module(struct crash_maps *maps)
{
    struct remains *r = maps->remains;
    uint32_t n = r->n_modules;
    if (maps->module != REMAINS_NO_MODULE || n >= REMAINS_MODULES || !maps->path[0])
        return maps->module;
    struct remains_module *module = &r->modules[n];
    size_t len = strlen(maps->path);
    size_t skip = len < REMAINS_PATH_MAX ? 0 : len - (REMAINS_PATH_MAX - 1);
    memcpy(module->path, maps->path + skip, len - skip + 1);
    module->base = maps->base;
    module->build_id_len = 0;
    maps->module = (uint16_t)n;
    r->n_modules = n + 1;
    if (maps->has_memory)
        module->build_id_len =
            (uint8_t)crash_maps_build_id((const unsigned char *)(uintptr_t)maps->base,
                                         (size_t)(maps->base_end - maps->base), module->build_id);
    return maps->module;
}

static void take_line(struct crash_maps *maps)
{
    uint64_t begin;
    uint64_t end;
    uint64_t offset;
    const char *at = take_hex(maps->line, &begin);
    if (*at != '-')
        return;
    at = take_hex(at + 1, &end);
    if (*at != ' ')
        return;
    const char *rights = at + 1;
    at = take_hex(skip_word(rights), &offset);
    const char *path = skip_word(skip_word(skip_word(at)));
    if (offset == 0 || strcmp(path, maps->path) != 0) {
        if (!*path)
            return; /* what lies between the mappings of an object is its zeroed data */
        memcpy(maps->path, path, strlen(path) + 1);
        maps->base = begin;
        maps->base_end = rights[0] == 'r' ? end : begin;
        maps->module = REMAINS_NO_MODULE;
    }
    if (rights[2] != 'x')
        return;
    for (uint32_t i = 0; i < maps->remains->n_frames; i++) {
        struct remains_frame *frame = &maps->remains->frames[i];
        if (frame->address >= begin && frame->address < end)
            frame->module = take_module(maps);
    }
}

void crash_maps_feed(struct crash_maps *maps, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '\n' && maps->len < sizeof maps->line - 1) {
            maps->line[maps->len++] = data[i];
        } else if (data[i] == '\n') {
            maps->line[maps->len] = '\0';
            take_line(maps);
            maps->len = 0;
        }
    }
}
