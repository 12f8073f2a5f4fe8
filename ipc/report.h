/* What a process says of itself for a dump: text at its own place in a file that the master has
 * sent it with MSG_DUMP. Written once, read by who gathers, believed by nobody. */
#ifndef REMUDA_IPC_REPORT_H
#define REMUDA_IPC_REPORT_H

#include <stdint.h>

#define REPORT_BYTES (512U * 1024U) /* of a place, its head included; the file is sparse */
#define REPORT_DONE 0x444f4e45U

/* At the begin of a place; written behind the text. */
struct report_head {
    uint32_t done; /* REPORT_DONE: the text is there */
    uint32_t len;  /* of it */
};

#endif
