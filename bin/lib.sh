# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
# Helpers that the scripts in bin/ share. Sourced, never run.

set -eu
prog=${0##*/}
# shellcheck disable=SC2034 # used by the scripts that source this
top=$(cd "$(dirname "$0")/.." && pwd -P) build=$top/build linux=$top/build/linux \
	ident_name='hot-remove series' ident_email=series@example.invalid \
	tab='	'
umask 022

say() { echo "$prog: $*"; }
die() { echo "$prog: $*" >&2; exit 1; }

# The comment at the top of each script is its manual.
help() { sed -n '/^# SPDX/d; 2,/^$/s/^# \{0,1\}//p' "$0"; exit 0; }
usage() { echo "$prog: $* ($prog -h tells how)" >&2; exit 2; }

# Nothing of the user's or the caller's git may change what is made here.
isolate_git() {
	command -v git >/dev/null || die "git is missing: run bin/setup"
	# shellcheck disable=SC2046 # a list of variable names
	unset $(git rev-parse --local-env-vars)
	export LC_ALL=C TZ=UTC GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1
	export GIT_CONFIG_COUNT=4 \
		GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' \
		GIT_CONFIG_KEY_1=core.attributesFile GIT_CONFIG_VALUE_1=/dev/null \
		GIT_CONFIG_KEY_2=core.excludesFile GIT_CONFIG_VALUE_2=/dev/null \
		GIT_CONFIG_KEY_3=core.autocrlf GIT_CONFIG_VALUE_3=false
}

# base_get KEY: a value of the file `base`; base_file KEY FILE: of another such file.
base_file() { awk -v k="$1" '$1 == k { sub(/^[^ \t]+[ \t]+/, ""); print; exit }' "$2"; }
base_get() {
	[ -f "$top/base" ] || die "the file base is missing"
	_v=$(base_file "$1" "$top/base")
	[ -n "$_v" ] || die "base: no value for $1"
	echo "$_v"
}

# One script at a time may change build/, another waits a while; the lock ends with the process.
lock_build() {
	mkdir -p "$build"
	[ -z "${BUILD_LOCKED-}" ] || return 0
	exec 9>"$build/lock"
	flock -w "${LOCK_WAIT:-60}" 9 || die "another script is changing build/ right now"
	export BUILD_LOCKED=1
}

# $tmp: a folder that goes away with the script.
make_tmp() {
	mkdir -p "$build"
	# Those of runs that were killed.
	find "$build" -mindepth 1 -maxdepth 1 -name 'tmp.*' -mtime +0 -exec rm -rf {} +
	tmp=$(mktemp -d "$build/tmp.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

# What follows takes packages from Debian's archive and installs none.

# private_apt ARGUMENT...: apt-get with the machine's proxy settings and keys, and lists, cache and preferences of our
# own. The downloader runs as the caller: apt's own user may not be able to reach this folder.
private_apt() {
	apt-get -qq -o Dir::Etc::sourcelist="$build/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o Dir::State::lists="$build/apt/lists" -o Dir::Cache="$build/apt/cache" \
		-o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3 \
		-o APT::Update::Error-Mode=any "$@"
}

# The name of this machine's release, or nothing.
codename() (. /etc/os-release && echo "${VERSION_CODENAME-}")

# Repositories of this machine that may be Debian's own archive, best first. Without lists (a fresh root) apt still
# knows them from sources.list.
mirrors() {
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --no-release-info --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v code="$(codename)" '$2 == "main" && $1 !~ /-(security|updates|backports)/ && $3 !~ /^cdrom/ && !seen[$3]++ {
			if ($1 == code) print $3; else later = later $3 "\n" } END { printf "%s", later }'
}

# apt_lists SUITE...: fresh lists of them, from the first mirror that gives all; false when none does. Debs go to
# build/apt/dl; the caller removes build/apt.
apt_lists() {
	rm -rf "$build/apt"
	mkdir -p "$build/apt/lists/partial" "$build/apt/cache/archives/partial" "$build/apt/dl"
	_key=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$_key" ] && _key=" [signed-by=$_key]" || _key=
	mirrors >"$tmp/mirrors"
	while read -r _uri; do
		for _suite; do echo "deb$_key $_uri $_suite main"; done >"$build/apt/sources.list"
		private_apt update >"$tmp/apt.log" 2>&1 </dev/null && return
	done <"$tmp/mirrors"
	return 1
}

# apt_said PREFIX: the first error in $tmp/apt.log, or nothing.
apt_said() { sed -n "s/^E: /$1/p" "$tmp/apt.log" 2>/dev/null | head -n 1; }

# apt_version PACKAGE: the newest that the lists offer, or nothing.
apt_version() {
	apt-cache -o Dir::Etc::sourcelist="$build/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::status=/dev/null \
		-o Dir::State::lists="$build/apt/lists" -o Dir::Cache="$build/apt/cache" madison "$1" |
		awk -F' *[|] *' '{ print $2; exit }'
}

# apt_mib PACKAGE=VERSION...: what they take to download.
apt_mib() { private_apt --print-uris download "$@" | awk '{ n += $3 } END { print int(n / 1048576 + 0.5) }'; }

# series_list: patches/series as "part<TAB>kind<TAB>value", kind one of part, patch, file.
series_list() {
	[ -f "$top/patches/series" ] || die "patches/series is missing"
	awk -v prog="$prog" '
	function bad(why) { print prog ": patches/series:" NR ": " why ": " $0 >"/dev/stderr"; exit 1 }
	/^[ \t]*(#|$)/ { next }
	/^\[[a-z0-9][a-z0-9-]*\]$/ {
		part = substr($0, 2, length($0) - 2); entry = ""
		if (part in parts) bad("section listed twice")
		parts[part]; print part "\tpart\t"; next
	}
	/^[A-Za-z0-9][A-Za-z0-9._-]*\.patch$/ {
		if (part == "") bad("entry before the first [section]")
		entry = $0
		if ((part, entry) in seen) bad("patch listed twice")
		seen[part, entry]; print part "\tpatch\t" entry; next
	}
	/^\+ [^ \t]+$/ {
		path = substr($0, 3)
		if (entry == "") bad("new file without a patch above it")
		if (path ~ /^\// || ("/" path "/") ~ /\/\.\.?\//) bad("not a path below the top")
		if (path in files) bad("new file listed twice")
		files[path]; print part "\tfile\t" path; next
	}
	{ bad("not understood") }' "$top/patches/series"
}

# ours PATH: true for a path that belongs to this project and cannot be a file of the kernel too.
ours() {
	case $1 in
	bin/* | tests/* | bench/* | patches/* | build/* | out/* | .ci/* | .git/* | base | README.md) true;;
	*) false;;
	esac
}

# repo_files LIST: the files of this repository that a series_list output stands for.
repo_files() {
	echo patches/series
	awk -F'\t' '$2 == "patch" { print "patches/" $1 "/" $3 } $2 == "file" { print $3 }' "$1"
}

# split PATCH PART: the commit message into $tmp/msg, the diff into $tmp/diff; prints what is wrong with it, or nothing.
# What mail tools take for a diff or a header cannot stand in a changelog.
split() {
	awk -v msg="$tmp/msg" -v diff="$tmp/diff" -v part="$2" '
	function fail(why) { print why; failed = 1; exit }
	BEGIN { printf "" >msg; printf "" >diff }
	in_diff { print >diff; next }
	NR == 1 { if (!/^Subject: [^ ]/) fail("does not begin with a Subject: line"); print substr($0, 10) >msg; next }
	NR == 2 { if ($0 != "") fail("needs an empty line after the Subject: line"); next }
	$0 == "---" { in_diff = 1; next }
	/^(diff -|Index: |--- )/ { fail("has a diff before the line ---") }
	/^Part: / { fail("has a Part: line, which compose adds itself") }
	$0 == "" { blank++; next }
	!body && /^(From|Date|Subject): / { fail("has a mail header as the first line of its changelog") }
	{ if (!body++) { blank = 0; print "" >msg } while (blank) { print "" >msg; blank-- } print >msg }
	END { if (failed) exit; if (!in_diff) { print "has no line --- after the changelog"; exit }
	      print "\nPart: " part >msg }' "$1"
}

# git in build/linux; sums of the repository's files as of the last compose or refresh.
lgit() { git -C "$linux" "$@"; }
sums=$linux/.git/series-sums

# worktree TREE COMMIT: TREE is a worktree of build/linux with COMMIT checked out; edits in it are lost. Files keep
# their times when the content is the same, so that little is built. One that was cut short, or belongs to an older
# build/linux, is made anew. All steps are checked, because -e is off in the conditions that this is called from.
worktree() {
	_commit=$(lgit rev-parse --verify "$2^{commit}") || return
	# Without its .git, git would take the repository around it.
	if [ -e "$1/.complete" ] && [ -e "$1/.git" ] && git -C "$1" rev-parse -q --verify HEAD >/dev/null 2>&1; then
		git -C "$1" checkout -q -f --detach "$_commit"
	else
		# Twice -f: git leaves it locked when it is killed.
		rm -rf "$1" && lgit worktree add -q -f -f --detach "$1" "$_commit" && touch "$1/.complete"
	fi
}

# record LIST COMMIT: build/linux at COMMIT is what the repository says.
record() {
	repo_files "$1" | (cd "$top" && xargs sha256sum) >"$sums.new"
	mv "$sums.new" "$sums"
	lgit update-ref refs/series/saved "$2"
}

# commit_tree NAME EMAIL DATE TREE PARENT MESSAGE-FILE: prints the commit's id.
commit_tree() {
	GIT_AUTHOR_NAME=$1 GIT_AUTHOR_EMAIL=$2 GIT_AUTHOR_DATE="$3 +0000" \
	GIT_COMMITTER_NAME=$1 GIT_COMMITTER_EMAIL=$2 GIT_COMMITTER_DATE="$3 +0000" \
		git commit-tree ${5:+-p "$5"} -F "$6" "$4"
}

# busy_reason: why build/linux is in the middle of something, or nothing.
busy_reason() {
	_g=$linux/.git
	if [ -d "$_g/rebase-merge" ] || [ -d "$_g/rebase-apply" ]; then echo "a rebase is in progress"
	elif [ -f "$_g/MERGE_HEAD" ]; then echo "a merge is in progress"
	elif [ -f "$_g/CHERRY_PICK_HEAD" ] || [ -f "$_g/REVERT_HEAD" ]; then echo "a cherry-pick or revert is in progress"
	elif [ "$(lgit symbolic-ref -q HEAD)" != refs/heads/series ]; then echo "it is not on its branch 'series'"
	fi
}

# unsaved: what build/linux has that patches/ does not have, or nothing.
unsaved() {
	_busy=$(busy_reason)
	if [ -n "$_busy" ]; then echo "$_busy"
	elif [ "$(lgit rev-parse HEAD)" != "$(lgit rev-parse refs/series/saved)" ]; then echo "it has commits that are not in patches/"
	elif [ ! -e "$linux/.git/series-switching" ] && [ -n "$(lgit status --porcelain | head -n 1)" ]; then
		echo "it has uncommitted edits"
	fi
}
