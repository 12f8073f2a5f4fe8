/* The sieve of a stop. Process: master. A filter of the kernel where that may be attached, else a
 * coarser one that everybody may have. */
#include "server/sieve.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define TCP_FLAG_SYN_BIT 0x02
#define TCP_FLAG_ACK_BIT 0x10

/* Whoever may not attach a filter has a coarser sieve: what comes from afar, and from any host
 * that is set up as usual, has less than 255 hops to live. Like the filter's, it is for what the
 * listening socket itself is asked, not for handshakes under way; but connections inherit it, so a
 * worker lifts it from those that it accepts (drain_lift_sieve()). */
static int refuse_far(int fd)
{
    int least = 255;
    int rc = setsockopt(fd, IPPROTO_IP, IP_MINTTL, &least, sizeof least) < 0 ? -errno : 0;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &least, sizeof least) == 0)
        rc = 0; /* which of the two there is, the family says */
    return rc;
}

int sieve_refuse_new(int fd, bool is_tcp)
{
    /* At a listening socket the packet begins with the TCP header (tcp_filter() in the kernel's
     * net/ipv4/tcp_ipv4.c): byte 13 holds the flags, RFC 9293 §3.1. */
    static struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TCP_FLAG_SYN_BIT | TCP_FLAG_ACK_BIT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_FLAG_SYN_BIT, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    if (!is_tcp)
        return shutdown(fd, SHUT_RD) < 0 ? -errno : 0;
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0)
        return 0;
    return refuse_far(fd);
}
