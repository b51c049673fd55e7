// What the containers of the checks run: the words of its command, one after the other. No libraries.
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// What isn't there yet is waited for, a minute at most.
#define TRIES 1200
#define TRY_MICROSECONDS 50000

static int code_of_term = 0;

static void end(int signal) {
    (void)signal;
    if (write(1, "asked to end\n", 13) < 0) _exit(99);
    _exit(code_of_term);
}

static void serve(int port, const char *answer) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, door = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 8)) {
        printf("port %d: %s\n", port, strerror(errno));
        exit(3);
    }
    printf("serves on %d\n", port);
    for (;;) {
        int guest = accept(door, 0, 0);
        char text[256], rest[512];
        int length = snprintf(text, sizeof text, "HTTP/1.0 200 OK\r\n\r\n%s\n", answer);
        if (write(guest, text, length) < 0) exit(4);
        shutdown(guest, SHUT_WR);
        while (read(guest, rest, sizeof rest) > 0) {}
        close(guest);
    }
}

// The numeric address of a name: a static program has no resolver that it can count on, so /etc/hosts is read.
static in_addr_t address_of(const char *host) {
    in_addr_t found = inet_addr(host);
    FILE *hosts = fopen("/etc/hosts", "r");
    char line[512];
    while (found == INADDR_NONE && hosts && fgets(line, sizeof line, hosts)) {
        char *word = strtok(line, " \t\n"), *address = word;
        while (word && (word = strtok(0, " \t\n")))
            if (!strcmp(word, host)) found = inet_addr(address);
    }
    if (hosts) fclose(hosts);
    return found;
}

static int get(const char *host, int port) {
    for (int tries = 0; tries < TRIES; tries++, usleep(TRY_MICROSECONDS)) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = address_of(host)};
        int door = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(door, (struct sockaddr *)&at, sizeof at) == 0) {
            char text[512] = {0};
            if (write(door, "GET / HTTP/1.0\r\n\r\n", 18) < 0) return 1;
            for (int length = 0, more; (more = read(door, text + length, sizeof text - 1 - length)) > 0;) length += more;
            char *body = strstr(text, "\r\n\r\n");
            printf("%s:%d says %s", host, port, body ? body + 4 : "nothing\n");
            close(door);
            return 0;
        }
        close(door);
    }
    printf("%s:%d: %s\n", host, port, strerror(errno));
    return 1;
}

static void tell(void) {
    char dir[512];
    struct rlimit files;
    struct stat shm;
    getrlimit(RLIMIT_NOFILE, &files);
    printf("user %d group %d\n", (int)getuid(), (int)getgid());
    printf("dir %s\n", getcwd(dir, sizeof dir) ? dir : "none");
    printf("files %d\n", (int)files.rlim_cur);
    printf("process %d\n", (int)getpid());
    FILE *file = fopen("/written", "w");
    printf("root %s\n", file ? "writable" : strerror(errno));
    printf("shm %s\n", stat("/dev/shm", &shm) ? "none" : "there");
    gethostname(dir, sizeof dir);
    printf("host %s\n", dir);
}

int main(int count, char **words) {
    setvbuf(stdout, 0, _IOLBF, 0);
    for (int at = 1; at < count; at++) {
        const char *word = words[at], *next = at + 1 < count ? words[at + 1] : "";
        const char *then = at + 2 < count ? words[at + 2] : "";
        if (!strcmp(word, "exit")) return atoi(next);
        else if (!strcmp(word, "say")) printf("%s\n", next), at++;
        else if (!strcmp(word, "count")) {
            for (int number = 1; number <= atoi(next); number++) printf("%d\n", number);
            at++;
        }
        else if (!strcmp(word, "env")) printf("%s=%s\n", next, getenv(next) ? getenv(next) : "nothing"), at++;
        else if (!strcmp(word, "sleep")) usleep(atoi(next) * 1000), at++;
        else if (!strcmp(word, "await")) { for (int tries = 0; tries < TRIES && access(next, F_OK); tries++) usleep(TRY_MICROSECONDS); at++; }
        else if (!strcmp(word, "term")) code_of_term = atoi(next), signal(SIGTERM, end), at++;
        else if (!strcmp(word, "serve")) serve(atoi(next), then);
        else if (!strcmp(word, "get")) { if (get(next, atoi(then))) return 5; at += 2; }
        else if (!strcmp(word, "write")) {
            FILE *file = fopen(next, "w");
            if (!file || fprintf(file, "%s\n", then) < 0 || fclose(file)) { printf("%s: %s\n", next, strerror(errno)); return 6; }
            at += 2;
        } else if (!strcmp(word, "read")) {
            char text[256] = {0};
            FILE *file = fopen(next, "r");
            if (!file) { printf("%s: %s\n", next, strerror(errno)); return 7; }
            printf("%s has %s", next, fgets(text, sizeof text, file) ? text : "nothing\n");
            at++;
        } else if (!strcmp(word, "eat")) {
            for (int mib = 0; mib < atoi(next); mib++) memset(malloc(1 << 20), 1, 1 << 20);
            at++;
        } else if (!strcmp(word, "first")) {
            // Only the first time that the container runs: it waits, and ends with this exit code.
            if (access("/mark", F_OK)) {
                FILE *mark = fopen("/mark", "w");
                if (!mark || fclose(mark)) return 9;
                usleep(atoi(next) * 1000);
                return atoi(then);
            }
            at += 2;
        } else if (!strcmp(word, "crash")) *(volatile int *)0 = 1;
        else if (!strcmp(word, "tell")) tell();
        else if (!strcmp(word, "wait")) for (;;) pause();
        else { printf("%s: no such word\n", word); return 8; }
    }
    return 0;
}
