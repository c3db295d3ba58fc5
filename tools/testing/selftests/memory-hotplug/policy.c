// SPDX-License-Identifier: GPL-2.0
/*
 * policy: tasks with memory policies that name a node which leaves and returns.
 *
 * Each case is a process. It sets its policy once, for itself (task), for
 * anonymous memory (vma), or for a memfd (shm), and fills memory. On SIGUSR1,
 * or all the time, it verifies that and takes new memory; it says what its policy
 * is now and which nodes the new memory is on. The exit status is 0 when each
 * page was as it was written and no task was killed, 1 when not; 2 when a case
 * could not be set up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define MAX_CASES	64
#define MAX_PAGES	256
#define MAX_NODES	1024
#define BITS_PER_LONG	(8 * sizeof(unsigned long))
#define NODES_TEXT	64
#define POLICY_TEXT	(NODES_TEXT + 32)

#define MPOL_F_NODE	1
#define MPOL_F_ADDR	2
#define MPOL_F_STATIC	0x8000
#define MPOL_F_RELATIVE	0x4000

struct nodes {
	unsigned long bits[MAX_NODES / BITS_PER_LONG];
};

/* What a task says, in memory that all share. */
struct result {
	pid_t pid;
	atomic_int round;
	char policy[POLICY_TEXT];
	char nodes[NODES_TEXT];
};

struct shared {
	atomic_int round;
	atomic_bool stop;
	struct result results[MAX_CASES];
};

static const char * const modes[] = {
	"default", "preferred", "bind", "interleave", "local", "many",
	"weighted",
};

static const unsigned int nr_modes = sizeof(modes) / sizeof(*modes);

static struct shared *shared;
static long page_size;
static int nr_pages = 64;
static bool busy;

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		shared->round++;
	else
		shared->stop = true;
}

static void fail(const char *name, const char *what)
{
	fprintf(stderr, "policy: %s: %s: %s\n", name, what, strerror(errno));
	exit(2);
}

static bool node_isset(const struct nodes *nodes, int node)
{
	return nodes->bits[node / BITS_PER_LONG] >> (node % BITS_PER_LONG) & 1;
}

static void node_set(struct nodes *nodes, int node)
{
	nodes->bits[node / BITS_PER_LONG] |= 1UL << (node % BITS_PER_LONG);
}

/* "0-2,5" as in sysfs, or "-" when there is none. */
static void nodes_text(const struct nodes *nodes, char *text)
{
	int node, last, len = 0;

	for (node = 0; node < MAX_NODES && len < NODES_TEXT - 12; node = last + 1) {
		last = node;
		if (!node_isset(nodes, node))
			continue;
		while (last + 1 < MAX_NODES && node_isset(nodes, last + 1))
			last++;
		len += snprintf(text + len, NODES_TEXT - len, "%s%d",
				len ? "," : "", node);
		if (last > node)
			len += snprintf(text + len, NODES_TEXT - len, "-%d", last);
	}
	if (!len)
		snprintf(text, NODES_TEXT, "-");
}

/* The opposite: false when that is not a list. */
static bool parse_nodes(const char *text, struct nodes *nodes)
{
	char *end;
	long node, last;

	if (!strcmp(text, "-"))
		return true;
	do {
		node = strtol(text, &end, 10);
		last = node;
		if (end == text)
			return false;
		if (*end == '-') {
			text = end + 1;
			last = strtol(text, &end, 10);
			if (end == text)
				return false;
		}
		if (node < 0 || last < node || last >= MAX_NODES)
			return false;
		for (; node <= last; node++)
			node_set(nodes, node);
		text = end + 1;
	} while (*end == ',');
	return !*end;
}

/* MODE[=static|=relative]:NODES */
static int parse_policy(const char *text, struct nodes *nodes)
{
	size_t len = strcspn(text, "=:");
	unsigned int mode;

	for (mode = 0; mode < nr_modes; mode++)
		if (strlen(modes[mode]) == len &&
		    !strncmp(modes[mode], text, len))
			break;
	if (mode == nr_modes)
		return -1;
	text += len;
	if (!strncmp(text, "=static", 7)) {
		mode |= MPOL_F_STATIC;
		text += 7;
	} else if (!strncmp(text, "=relative", 9)) {
		mode |= MPOL_F_RELATIVE;
		text += 9;
	}
	return *text == ':' && parse_nodes(text + 1, nodes) ? (int)mode : -1;
}

static void *map_memory(const char *name, bool shm)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
	size_t size = nr_pages * page_size;
	void *memory;

	if (shm) {
		flags = MAP_SHARED;
		fd = syscall(SYS_memfd_create, "policy", 0);
		if (fd < 0 || ftruncate(fd, size))
			fail(name, "memfd");
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (memory == MAP_FAILED)
		fail(name, "mmap");
	madvise(memory, size, MADV_NOHUGEPAGE);
	return memory;
}

/* A value for each page and each time; false when a page has another one. */
static void fill(unsigned long *memory, unsigned long value)
{
	int i;

	for (i = 0; i < nr_pages; i++)
		memory[i * page_size / sizeof(*memory)] = value + i;
}

static bool verify(unsigned long *memory, unsigned long value)
{
	int i;

	for (i = 0; i < nr_pages; i++)
		if (memory[i * page_size / sizeof(*memory)] != value + i)
			return false;
	return true;
}

static void drop(const char *name, void *memory, bool shm)
{
	if (madvise(memory, nr_pages * page_size,
		    shm ? MADV_REMOVE : MADV_DONTNEED))
		fail(name, "madvise");
}

/* Nodes that the pages are on, in two ways that have to agree. */
static void page_nodes(const char *name, char *memory, struct nodes *nodes)
{
	int status[MAX_PAGES], node, i;
	void *pages[MAX_PAGES];

	for (i = 0; i < nr_pages; i++)
		pages[i] = memory + i * page_size;
	if (syscall(SYS_move_pages, 0, (long)nr_pages, pages, NULL, status, 0))
		fail(name, "move_pages");
	for (i = 0; i < nr_pages; i++) {
		if (status[i] < 0 || status[i] >= MAX_NODES) {
			errno = -status[i];
			fail(name, "status of move_pages");
		}
		node_set(nodes, status[i]);
	}
	if (syscall(SYS_get_mempolicy, &node, NULL, 0L, memory,
		    (long)(MPOL_F_NODE | MPOL_F_ADDR)))
		fail(name, "get_mempolicy of a page");
	if (!node_isset(nodes, node)) {
		errno = EPROTO;
		fail(name, "get_mempolicy and move_pages");
	}
}

static void policy_text(const char *name, void *at, char *text)
{
	struct nodes nodes = { 0 };
	char list[NODES_TEXT];
	const char *mode_name;
	unsigned int mode;

	if (syscall(SYS_get_mempolicy, &mode, nodes.bits, (long)MAX_NODES, at,
		    (long)(at ? MPOL_F_ADDR : 0)))
		fail(name, "get_mempolicy");
	nodes_text(&nodes, list);
	mode_name = (mode & 7) < nr_modes ? modes[mode & 7] : "unknown";
	snprintf(text, POLICY_TEXT, "%.12s%s:%s", mode_name,
		 mode & MPOL_F_STATIC ? "=static" :
		 mode & MPOL_F_RELATIVE ? "=relative" : "", list);
}

static void say(struct result *result, const char *name, void *memory,
		bool task, int round)
{
	struct nodes nodes = { 0 };

	page_nodes(name, memory, &nodes);
	nodes_text(&nodes, result->nodes);
	policy_text(name, task ? NULL : memory, result->policy);
	result->round = round;
}

/* A case is task:, vma: or shm: and a policy. Does not return. */
static void run_case(const char *name, struct result *result)
{
	bool task = !strncmp(name, "task:", 5), shm = !strncmp(name, "shm:", 4);
	unsigned long value = (unsigned long)getpid() << 32;
	struct nodes nodes = { 0 };
	pid_t parent = getppid();
	unsigned long *memory;
	int mode;

	if (!task && !shm && strncmp(name, "vma:", 4)) {
		errno = EINVAL;
		fail(name, "task, vma or shm");
	}
	mode = parse_policy(strchr(name, ':') + 1, &nodes);
	if (mode < 0) {
		errno = EINVAL;
		fail(name, "policy");
	}
	memory = map_memory(name, shm);
	if (task ? syscall(SYS_set_mempolicy, mode, nodes.bits, (long)MAX_NODES)
		 : syscall(SYS_mbind, memory, nr_pages * page_size, (long)mode,
			   nodes.bits, (long)MAX_NODES, 0L))
		fail(name, task ? "set_mempolicy" : "mbind");

	fill(memory, value);
	while (!shared->stop && getppid() == parent) {
		int round = shared->round;

		usleep(20 * 1000);
		if (!busy && round == result->round)
			continue;
		if (!verify(memory, value)) {
			fprintf(stderr, "policy: %s: a page is wrong\n", name);
			exit(1);
		}
		drop(name, memory, shm);
		value += nr_pages;
		fill(memory, value);
		if (round != result->round)
			say(result, name, memory, task, round);
	}
	exit(0);
}

/* Which case has ended, and how; true when it ended as it should. */
static bool reap(char **names, int nr, int options)
{
	int status, i;
	pid_t pid;

	pid = waitpid(-1, &status, options);
	if (pid <= 0)
		return true;
	for (i = 0; i < nr; i++)
		if (shared->results[i].pid == pid)
			break;
	if (WIFEXITED(status) && !WEXITSTATUS(status) && shared->stop)
		return true;
	fprintf(stderr, "policy: %s: ended with %s %d\n",
		i < nr ? names[i] : "?",
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return false;
}

/* Show what all say in this round; false if one has ended. */
static bool collect(char **names, int nr, int round)
{
	int i;

	for (i = 0; i < nr; i++) {
		while (shared->results[i].round < round) {
			if (shared->stop)
				return true;
			if (!reap(names, nr, WNOHANG))
				return false;
			usleep(10 * 1000);
		}
		printf("%s is %s on %s\n", names[i],
		       shared->results[i].policy, shared->results[i].nodes);
	}
	printf("ready %d\n", round);
	fflush(stdout);
	return true;
}

static void usage(FILE *out, int status)
{
	fprintf(out,
		"policy [-b] [-p PAGES] CASE...\n"
		"CASE: task|vma|shm:MODE[=static|=relative]:NODES, NODES such as 0-1,3 or -\n"
		"MODE: preferred, bind, interleave, many, weighted, local or default\n"
		"Runs until SIGTERM. At the start and for each SIGUSR1, writes for\n"
		"each case \"CASE is POLICY on NODES\", the nodes of new pages, and\n"
		"then \"ready\" and a number. With -b, takes memory all the time.\n");
	exit(status);
}

static int parse(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "bhp:")) != -1) {
		switch (opt) {
		case 'b':
			busy = true;
			break;
		case 'h':
			usage(stdout, 0);
			break;
		case 'p':
			nr_pages = atoi(optarg);
			break;
		default:
			usage(stderr, 2);
		}
	}
	if (optind == argc || argc - optind > MAX_CASES ||
	    nr_pages < 1 || nr_pages > MAX_PAGES)
		usage(stderr, 2);
	return argc - optind;
}

static void start_cases(char **names, int nr)
{
	int i;

	for (i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (pid < 0)
			fail(names[i], "fork");
		if (!pid)
			run_case(names[i], &shared->results[i]);
		shared->results[i].pid = pid;
	}
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	int nr = parse(argc, argv), round = 0, i;
	char **names = argv + optind;
	bool good = true;

	page_size = sysconf(_SC_PAGESIZE);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("shared memory", "mmap");
	shared->round = 1;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	start_cases(names, nr);

	while (good && !shared->stop) {
		if (shared->round != round)
			good = collect(names, nr, ++round);
		else
			good = reap(names, nr, WNOHANG);
		usleep(10 * 1000);
	}
	shared->stop = true;
	for (i = 0; i < nr; i++)
		good = reap(names, nr, 0) && good;
	return !good;
}
