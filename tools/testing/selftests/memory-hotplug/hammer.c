// SPDX-License-Identifier: GPL-2.0
/*
 * hammer: fill memory with a pattern and verify every byte of it, in a loop,
 * while somebody removes the memory under it or beside it.
 *
 * Each thread owns a slice. A word's value is made from its offset in the
 * mapping and the number of the round, so a page that is lost, stale, or
 * swapped with another one is found. The exit status is 0 when all rounds
 * verified, 1 when a word was wrong, 2 when the test could not be set up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <linux/types.h>

#define MPOL_DEFAULT	0
#define MPOL_BIND	2
#define MAX_THREADS	64
#define MAX_NODES	1024
#define BITS_PER_LONG	(8 * sizeof(unsigned long))

#define PAGEMAP_PRESENT	0x8000000000000000ULL
#define PAGEMAP_PFN	0x007fffffffffffffULL

struct slice {
	pthread_t thread;
	__u64 *words;
	size_t nr_words;
	__u64 first_word;
	__u64 verified_words;
	unsigned long rounds;
	bool bad;
};

static const char *kind = "anon";
static size_t size_mib = 64;
static int nr_threads = 2;
static int seconds;
static int node = -1;
static bool hold;
static __u64 range_start, range_end;

static size_t page_size;
static atomic_bool stop;

static void on_signal(int sig)
{
	stop = sig != 0;
}

static void die(const char *what)
{
	fprintf(stderr, "hammer: %s: %s\n", what, strerror(errno));
	exit(2);
}

static __u64 pattern(__u64 word, unsigned long round)
{
	__u64 value = (word + 1) * 0x9e3779b97f4a7c15ULL + round;

	return value ^ (value >> 29);
}

static void fill(struct slice *slice, unsigned long round)
{
	size_t i;

	for (i = 0; i < slice->nr_words; i++)
		slice->words[i] = pattern(slice->first_word + i, round);
}

static bool verify(struct slice *slice, unsigned long round)
{
	size_t i;

	for (i = 0; i < slice->nr_words; i++) {
		__u64 want = pattern(slice->first_word + i, round);
		__u64 have = __atomic_load_n(&slice->words[i],
						__ATOMIC_RELAXED);

		if (have != want) {
			fprintf(stderr,
				"hammer: round %lu, byte %#llx: %#llx, not %#llx\n",
				round,
				(unsigned long long)(slice->first_word + i) * 8,
				(unsigned long long)have,
				(unsigned long long)want);
			return false;
		}
	}
	slice->verified_words += slice->nr_words;
	return true;
}

/*
 * Every fourth round writes: the others find what changes without a write.
 * There is a round, however late the thread begins.
 */
static void *slice_thread(void *arg)
{
	struct slice *slice = arg;
	unsigned long written = 0;

	do {
		if (!verify(slice, written)) {
			slice->bad = true;
			stop = true;
			break;
		}
		if (++slice->rounds % 4 == 0) {
			written = slice->rounds;
			fill(slice, written);
		}
	} while (!stop);
	return NULL;
}

static void bind_to_node(void *memory, size_t size)
{
	unsigned long mask[MAX_NODES / BITS_PER_LONG] = { 0 };

	if (node < 0)
		return;
	if (node >= MAX_NODES - 1) {
		errno = EINVAL;
		die("node");
	}
	mask[node / BITS_PER_LONG] = 1UL << (node % BITS_PER_LONG);
	if (syscall(SYS_mbind, memory, size, MPOL_BIND, mask, MAX_NODES, 0))
		die("mbind");
}

/*
 * Once it is filled the memory is where it should be. While a page migrates, its
 * page table entry is empty for a moment, and a fault allocates a page in vain:
 * bound to a node that has no other memory, it would call the OOM killer.
 */
static void unbind(void *memory, size_t size)
{
	if (node >= 0 &&
	    syscall(SYS_mbind, memory, size, MPOL_DEFAULT, NULL, 0, 0))
		die("mbind");
}

/* A page that a pipe has a reference on cannot migrate. */
static void hold_page(void *page)
{
	struct iovec vector = { .iov_base = page, .iov_len = page_size };
	int ends[2];

	if (pipe(ends) ||
	    vmsplice(ends[1], &vector, 1, 0) != (ssize_t)page_size)
		die("vmsplice");
}

static void *map_memory(size_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
	void *memory;

	if (!strcmp(kind, "hugetlb")) {
		flags |= MAP_HUGETLB;
	} else if (!strcmp(kind, "memfd")) {
		flags = MAP_SHARED;
		fd = syscall(SYS_memfd_create, "hammer", 0);
		if (fd < 0 || ftruncate(fd, size))
			die("memfd");
	} else if (strcmp(kind, "anon") && strcmp(kind, "thp")) {
		errno = EINVAL;
		die(kind);
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	if (!strcmp(kind, "anon"))
		madvise(memory, size, MADV_NOHUGEPAGE);
	if (!strcmp(kind, "thp"))
		madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

/* Pages of the mapping whose physical address is in the range asked for. */
static size_t pages_in_range(void *memory, size_t size)
{
	size_t nr = size / page_size, inside = 0, i;
	__u64 entry, phys;
	int fd;

	fd = open("/proc/self/pagemap", O_RDONLY);
	if (fd < 0)
		die("/proc/self/pagemap");
	for (i = 0; i < nr; i++) {
		off_t at = ((unsigned long)memory / page_size + i) * sizeof(entry);

		if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
			die("/proc/self/pagemap");
		phys = (entry & PAGEMAP_PFN) * page_size;
		if ((entry & PAGEMAP_PRESENT) &&
		    phys >= range_start && phys < range_end)
			inside++;
	}
	close(fd);
	return inside;
}

static void report_range(const char *when, void *memory, size_t size)
{
	size_t inside;

	if (!range_end)
		return;
	inside = pages_in_range(memory, size);
	printf("%s: %zu of %zu pages in the range\n", when, inside,
	       size / page_size);
	if (!inside && !strcmp(when, "start")) {
		fprintf(stderr, "hammer: no page is in the range\n");
		exit(2);
	}
}

static void usage(void)
{
	fprintf(stderr,
		"hammer [-k anon|thp|memfd|hugetlb] [-m MIB] [-n NODE] [-p]\n"
		"       [-r START-END] [-s SECONDS] [-t THREADS]\n"
		"Runs until SIGTERM without -s. With -p, one of its pages cannot\n"
		"migrate. With -r, physical addresses: some of the memory has to\n"
		"be in there at the start.\n");
	exit(2);
}

static void parse_range(const char *text)
{
	char *end;

	range_start = strtoull(text, &end, 0);
	if (*end != '-')
		usage();
	range_end = strtoull(end + 1, &end, 0);
	if (*end || range_end <= range_start)
		usage();
}

static void parse(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "k:m:n:pr:s:t:")) != -1) {
		switch (opt) {
		case 'k':
			kind = optarg;
			break;
		case 'm':
			size_mib = strtoul(optarg, NULL, 0);
			break;
		case 'n':
			node = atoi(optarg);
			break;
		case 'p':
			hold = true;
			break;
		case 'r':
			parse_range(optarg);
			break;
		case 's':
			seconds = atoi(optarg);
			break;
		case 't':
			nr_threads = atoi(optarg);
			break;
		default:
			usage();
		}
	}
	if (optind != argc || !size_mib ||
	    nr_threads < 1 || nr_threads > MAX_THREADS)
		usage();
}

static void wait_for_end(void)
{
	time_t end = time(NULL) + seconds;

	while (!stop && (!seconds || time(NULL) < end))
		usleep(50 * 1000);
	stop = true;
}

static void start_slices(struct slice *slices, __u64 *memory, size_t size)
{
	size_t nr_words = size / sizeof(*memory) / nr_threads;
	int i;

	for (i = 0; i < nr_threads; i++) {
		slices[i].first_word = i * nr_words;
		slices[i].words = memory + slices[i].first_word;
		slices[i].nr_words = nr_words;
		fill(&slices[i], 0);
	}
	unbind(memory, size);
	if (hold)
		hold_page(memory);
	report_range("start", memory, size);
	for (i = 0; i < nr_threads; i++)
		if (pthread_create(&slices[i].thread, NULL, slice_thread,
				   &slices[i]))
			die("pthread_create");
	printf("ready\n");
	fflush(stdout);
}

static bool join_slices(struct slice *slices)
{
	unsigned long rounds = 0;
	__u64 words = 0;
	bool bad = false;
	int i;

	for (i = 0; i < nr_threads; i++) {
		pthread_join(slices[i].thread, NULL);
		words += slices[i].verified_words;
		rounds += slices[i].rounds;
		bad |= slices[i].bad;
	}
	printf("verified %llu pages in %lu rounds, %s\n",
	       (unsigned long long)(words * sizeof(__u64) / page_size),
	       rounds, bad ? "wrong" : "all right");
	if (!words) {
		fprintf(stderr, "hammer: nothing was verified\n");
		return true;
	}
	return bad;
}

int main(int argc, char **argv)
{
	static struct slice slices[MAX_THREADS];
	struct sigaction action = { .sa_handler = on_signal };
	__u64 *memory;
	size_t size;
	bool bad;

	parse(argc, argv);
	page_size = sysconf(_SC_PAGESIZE);
	size = size_mib << 20;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);

	memory = map_memory(size);
	bind_to_node(memory, size);
	start_slices(slices, memory, size);
	wait_for_end();
	bad = join_slices(slices);
	report_range("end", memory, size);
	return bad;
}
