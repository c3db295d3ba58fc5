# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
# KTAP and the toy tree for the tests of bin/. Sourced by tests/*.test, which run without a kernel and without network.

set -u
export LC_ALL=C
here=${HERE:-$(cd "$(dirname "$0")/.." && pwd -P)}
work=$(mktemp -d "${TMPDIR:-/tmp}/series-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
# A repository of its own, so that nothing of a test run can reach the real one.
toy=$work/toy
count=0 failed=0

# The tests say themselves which of the user's settings matter.
unset KSRC NEED_GIB QEMU QEMU_NEWER BUILD_LOCKED GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
export HOME="$work/home" XDG_CONFIG_HOME="$work/home/.config" GIT_CONFIG_NOSYSTEM=1
mkdir -p "$HOME"

ktap_start() { echo "KTAP version 1"; }
ktap_end() { echo "1..$count"; [ "$failed" = 0 ]; }

# result STATUS NAME: STATUS 0 is ok; output kept in $work/out is shown when it is not.
result() {
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count $2"
	else
		failed=$((failed + 1))
		echo "not ok $count $2"
		sed 's/^/# /' "$work/out" "$work/err" 2>/dev/null | tail -n 30
	fi
}

# run COMMAND...: stdout and stderr to $work/out and $work/err, its exit code to $rc.
run() {
	rc=0
	"$@" >"$work/out" 2>"$work/err" </dev/null || rc=$?
}

# works NAME COMMAND...: it must exit 0.
works() {
	_name=$1
	shift
	run "$@"
	result "$rc" "$_name"
}

# refused NAME PATTERN COMMAND...: it must fail, with one line on stderr that matches the extended PATTERN.
refused() {
	_name=$1 _pattern=$2
	shift 2
	run "$@"
	_ok=1
	if [ "$rc" -ne 0 ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -qE -- "$_pattern" "$work/err"; then _ok=0; fi
	[ $_ok = 0 ] || echo "# exit code $rc, wanted one line like: $_pattern"
	result $_ok "$_name"
}

# same NAME A B: two strings.
same() {
	printf '%s\n' "$2" >"$work/out"
	printf '%s\n' "$3" >"$work/err"
	_ok=1
	[ "$2" = "$3" ] && _ok=0
	result $_ok "$1"
}

# toy_base DIR [VERSION]: ten files that look like a kernel to fetch, one of which its own .gitignore hides.
toy_base() {
	mkdir -p "$1/mm" "$1/include/linux" "$1/scripts" "$1/drivers/base"
	_v=${2:-7.3.4}
	printf 'VERSION = %s\nPATCHLEVEL = %s\nSUBLEVEL = %s\nEXTRAVERSION =\nNAME = Toy\n' \
		"$(echo "$_v" | cut -d. -f1)" "$(echo "$_v" | cut -d. -f2)" "$(echo "$_v" | cut -d. -f3)" >"$1/Makefile"
	for _f in mm/memory_hotplug.c mm/sparse.c mm/Kconfig mm/old.c drivers/base/memory.c include/linux/memory.h; do
		for _i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo "$_f line $_i"; done >"$1/$_f"
	done
	printf '*.patch\n.*\n' >"$1/.gitignore"
	echo hidden >"$1/hidden.patch"
	printf '#!/bin/sh\n' >"$1/scripts/run.sh"
	chmod 755 "$1/scripts/run.sh"
}

# toy_repo: a repository with the real bin/ and base, an empty series of two parts, and the toy tree as KSRC.
toy_repo() {
	rm -rf "$toy" "$work/ksrc"
	mkdir -p "$toy/patches/one" "$toy/patches/two"
	cp -r "$here/bin" "$here/base" "$toy/"
	toy_base "$work/ksrc"
	printf '# head\n\n[one]\n\n# about two\n[two]\n' >"$toy/patches/series"
	for _p in one two; do printf 'Subject: mm: part %s\n\nWhat part %s is for.\n' $_p $_p >"$toy/patches/$_p/cover-letter"; done
	export KSRC="$work/ksrc" NEED_GIB=0
}

# shellcheck disable=SC2119,SC2120 # most calls need no argument
compose() { "$toy/bin/compose" "$@"; }
# shellcheck disable=SC2119,SC2120
refresh() { "$toy/bin/refresh" "$@"; }
emit() { "$toy/bin/emit" "$@"; }
tgit() { git -C "$toy/build/linux" "$@"; }
head_id() { tgit rev-parse HEAD; }

# commit PART SUBJECT [BODY]: everything that is changed in build/linux.
commit() {
	tgit add -A -f
	tgit commit -q -m "$2" -m "${3:-Why $2.}" ${1:+-m "Part: $1"}
}

# toy_series: the toy repository with edits, a deletion, modes and new files in three patches of two parts.
toy_series() {
	toy_repo
	# shellcheck disable=SC2119
	compose >/dev/null
	(
		cd "$toy/build/linux" || exit 1
		sed -i 's/line 7/line seven/' mm/sparse.c
		mkdir -p mm/tests tools/testing
		printf 'int owner;\n' >mm/boot_owner.c
		printf '#!/bin/sh\necho test\n' >tools/testing/owner.sh
		chmod 755 tools/testing/owner.sh
		commit one 'mm/sparse: let boot pages know their owner' 'A changelog.

    BUG: unable to handle page fault
    #PF: supervisor read access

The end.'
		git rm -q mm/old.c
		chmod 755 mm/Kconfig
		sed -i '1d' mm/memory_hotplug.c
		commit one 'mm: Remove old.c'
		printf 'int explain;' >mm/explain.c
		commit two 'mm: explain a failed offline'
	) || return 1
	# shellcheck disable=SC2119
	refresh >/dev/null
}
