/* Functions that nobody may call. Included before every source file of ours (see
 * cmake/RemudaTarget.cmake), so the system headers that declare them come first. */
#ifndef REMUDA_BASE_BANNED_H
#define REMUDA_BASE_BANNED_H

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BANNED(instead) remuda_banned_function__use_##instead

#undef strcpy
#define strcpy(a, b) BANNED(memcpy_or_snprintf)
#undef strcat
#define strcat(a, b) BANNED(buf_printf)
#undef strncpy
#define strncpy(a, b, n) BANNED(memcpy_or_snprintf)
#undef strncat
#define strncat(a, b, n) BANNED(buf_printf)
#undef sprintf
#define sprintf(...) BANNED(snprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsnprintf)
#undef strtok
#define strtok(a, b) BANNED(str_h)
#undef gmtime
#define gmtime(t) BANNED(gmtime_r)
#undef localtime
#define localtime(t) BANNED(localtime_r)
#undef ctime
#define ctime(t) BANNED(strftime)
#undef asctime
#define asctime(t) BANNED(strftime)
#undef alloca
#define alloca(n) BANNED(arena_alloc)
#undef fork
#define fork() BANNED(spawn_child)
#undef vfork
#define vfork() BANNED(spawn_child)

#endif
