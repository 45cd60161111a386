/* Loaded before all other libraries (LD_PRELOAD), it records the host names and addresses that a process and its children
   look up or connect to, also from native code, and blocks them unless they are of this machine. A line of the file
   RECORDER_LOG is `look-up NAME` or `connection ADDRESS`. System calls without the C library are not seen. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void record(const char *what, const char *whom) {
    const char *path = getenv("RECORDER_LOG");
    char line[512];
    int length = snprintf(line, sizeof line, "%s %.400s\n", what, whom);
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (file < 0 || write(file, line, length) != length)
        abort(); /* rather than contact a host without a record */
    close(file);
}

static int is_own_name(const char *name) {
    unsigned char address[sizeof(struct in6_addr)];
    return !name || !*name || !strcmp(name, "localhost") || inet_pton(AF_INET, name, address) == 1 ||
           inet_pton(AF_INET6, name, address) == 1; /* a number is not looked up */
}

static int may_be_asked(const char *name) {
    if (is_own_name(name))
        return 1;
    record("look-up", name);
    return 0;
}

static int is_this_machine(const struct sockaddr *address) {
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    if (address->sa_family == AF_INET)
        return (ntohl(four->sin_addr.s_addr) >> 24 == 127 || !four->sin_addr.s_addr) && ntohs(four->sin_port) != 53;
    if (address->sa_family == AF_INET6) {
        const unsigned char *bytes = six->sin6_addr.s6_addr;
        int is_mapped = IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && (bytes[12] == 127);
        return (is_mapped || IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr)) &&
               ntohs(six->sin6_port) != 53;
    }
    return 1; /* a file, or no network at all */
}

static int may_be_reached(const struct sockaddr *address) {
    if (!address || is_this_machine(address))
        return 1;
    char host[INET6_ADDRSTRLEN] = "?", text[INET6_ADDRSTRLEN + 16];
    int is_four = address->sa_family == AF_INET;
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
    inet_ntop(address->sa_family, is_four ? (const void *)&four->sin_addr : (const void *)&six->sin6_addr, host, sizeof host);
    snprintf(text, sizeof text, "%s port %d", host, ntohs(is_four ? four->sin_port : six->sin6_port));
    record("connection", text);
    errno = ENETUNREACH;
    return 0;
}

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    return may_be_reached(address) ? NEXT(connect)(socket, address, length) : -1;
}

ssize_t sendto(int socket, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    return may_be_reached(address) ? NEXT(sendto)(socket, data, size, flags, address, length) : -1;
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    return may_be_reached(message->msg_name) ? NEXT(sendmsg)(socket, message, flags) : -1;
}

int sendmmsg(int socket, struct mmsghdr *messages, unsigned int count, int flags) {
    for (unsigned int number = 0; number < count; number++)
        if (!may_be_reached(messages[number].msg_hdr.msg_name))
            return -1;
    return NEXT(sendmmsg)(socket, messages, count, flags);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    return may_be_asked(name) ? NEXT(getaddrinfo)(name, service, hints, found) : EAI_AGAIN;
}

struct hostent *gethostbyname(const char *name) {
    return may_be_asked(name) ? NEXT(gethostbyname)(name) : NULL;
}

struct hostent *gethostbyname2(const char *name, int family) {
    return may_be_asked(name) ? NEXT(gethostbyname2)(name, family) : NULL;
}

int gethostbyname_r(const char *name, struct hostent *host, char *buffer, size_t size, struct hostent **found, int *error) {
    if (may_be_asked(name))
        return NEXT(gethostbyname_r)(name, host, buffer, size, found, error);
    *found = NULL;
    return *error = TRY_AGAIN;
}

int res_query(const char *name, int class, int type, unsigned char *answer, int size) {
    record("look-up", name);
    return -1;
}

int res_search(const char *name, int class, int type, unsigned char *answer, int size) {
    record("look-up", name);
    return -1;
}
