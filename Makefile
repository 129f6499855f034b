# Weir: the control room of an SMTP relay. README.md has the two commands that matter: make demo, make test.
#
# Variants: make CC=clang, make SAN=1 (address, leak and undefined-behaviour sanitizers); each has its own
# directory under build/. A source file belongs to a program by its directory; nothing is listed twice.

CC      = gcc
BUILD   = build/$(notdir $(CC))$(if $(SAN),-san)$(if $(TSAN),-tsan)
VERSION = 0.1.0
PREFIX  = /usr/local

PKGS      = ncursesw libssh sqlite3 jansson libcrypto libssl libevent libevent_openssl libcares libconfuse gmime-3.0 libbsd libpsl libidn2 libgsasl zlib libcurl
PKGS_HAVE := $(shell pkg-config --exists $(PKGS) 2>/dev/null && echo yes)
ifeq ($(PKGS_HAVE),yes)
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I $(PKGS)))
PKG_LIBS   := $(shell pkg-config --libs $(PKGS))
endif

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
       -Wformat=2 -Wundef -Wcast-qual -Wwrite-strings -Wpointer-arith -Wconversion -Wno-sign-conversion \
       -Wswitch-enum -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion -Werror
WARN_gcc = -Wlogical-op -Wduplicated-cond -Wduplicated-branches
SAN_FLAGS_1  = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
TSAN_FLAGS_1 = -fsanitize=thread
SAN_FLAGS = $(SAN_FLAGS_$(SAN)) $(TSAN_FLAGS_$(TSAN))
OPT     = -O2 -g
CFLAGS  = -std=c11 -D_GNU_SOURCE $(OPT) $(WARN) $(WARN_$(notdir $(CC))) -fno-common -fstack-protector-strong -fPIE \
          -pthread -DWEIR_VERSION='"$(VERSION)"' $(SAN_FLAGS) $(EXTRA_CFLAGS)
CPPFLAGS = -Iinclude -Icore -Itui -Itests $(PKG_CFLAGS)
LDFLAGS = -pie -pthread -Wl,--as-needed $(SAN_FLAGS)
LDLIBS  = $(PKG_LIBS) -lm

# Everything but main programs goes into one archive; the linker takes what a program needs.
MAINS    = $(wildcard core/app/main.c tui/app/main.c)
LIB_SRC  = $(filter-out $(MAINS),$(wildcard core/*/*.c tui/*/*.c))
LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB      = $(BUILD)/libweir.a

PROGRAMS = $(if $(wildcard core/app/main.c),weir-relayd) $(if $(wildcard tui/app/main.c),weir) \
           $(if $(wildcard tests/world/*.c),weir-world)

.PHONY: all
all: $(LIB) links

# --- the two commands of README -------------------------------------------------------------------

# Each installs what is missing, then starts make anew: only then are the packages' flags known.
.PHONY: demo test deps
demo: deps
	@$(MAKE) --no-print-directory -j2 all
	@./build/weir demo
test: deps-test
	@$(MAKE) --no-print-directory test-all

deps:
	@dist/install-deps build
.PHONY: deps-test deps-full
deps-test:
	@dist/install-deps test
deps-full:
	@dist/install-deps full

# Everything that must pass, the quick first; the last line counts all of it.
TEST_STEPS = '-j2 all' lint docs-check '-j2 check' '-j2 SAN=1 check' check-system
.PHONY: test-all
test-all:
	@MAKE="$(MAKE)" tests/run-all $(TEST_STEPS)

# All of that, the system tests once more under the sanitizers, threads under theirs, and every fuzz target shortly.
FULL_FUZZ_SECONDS = 5
.PHONY: check-full
check-full: deps-full
	@MAKE="$(MAKE)" tests/run-all $(TEST_STEPS) '-j2 SAN=1 check-system SYSTEM_SECONDS=1800' \
		'-j2 TSAN=1 check-threads' '-j2 fuzz FUZZ_SECONDS=$(FULL_FUZZ_SECONDS)'

$(BUILD)/weir-relayd: $(patsubst %.c,$(BUILD)/%.o,$(wildcard core/app/*.c)) $(LIB)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/weir: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tui/app/*.c)) $(LIB)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(BUILD)/weir-world: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/world/*.c)) $(LIB)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
# The rules by which replies are classified are built in as they are.
$(BUILD)/core/outcome/classify_builtin.o: dist/replies.rules
$(LIB): $(LIB_OBJ)
	@rm -f $@
	@ar rcs $@ $^

# The programs can be run as ./build/weir and ./build/weir-relayd, whichever variant was built last.
.PHONY: links
links: $(PROGRAMS:%=$(BUILD)/%)
	@for p in $(PROGRAMS); do ln -sfn $(notdir $(BUILD))/$$p build/$$p; done

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Objects of tests are kept, too.
.SECONDARY:

# Unit, view and sim tests: one program a file, linked with cmocka and the archive.
UNIT_SRC = $(wildcard tests/unit/*/test_*.c tests/view/test_*.c tests/sim/test_*.c)
UNIT_BIN = $(UNIT_SRC:%.c=$(BUILD)/%)
TEST_LIB_OBJ = $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c))

# Functions that a test stands in front of.
WRAP_test_actions_fault = queue_commit_batch queue_accept queue_message_read
WRAP_test_parts = queue_commit sched_groups
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_LIB_OBJ) $(LIB)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) $(WRAP_$(@F):%=-Wl,--wrap=%) -o $@ $^ $(LDLIBS) -lcmocka -lvterm -lutil

.PHONY: check
check: $(UNIT_BIN)
	@tests/run-unit $(UNIT_BIN)

# What the loop shares with other threads: jobs, the store, the queue, links to relays.
THREADS = loop queue store ctl client net
.PHONY: check-threads
check-threads: $(foreach d,$(THREADS),$(filter $(BUILD)/tests/unit/$d/%,$(UNIT_BIN)))
	@TSAN_OPTIONS=second_deadlock_stack=1 tests/run-unit $^

.PHONY: lint lint-full
lint: all
	@/usr/bin/python3 tests/lint/lint.py $(BUILD)
# Analyzers: clang-tidy, gcc's, cppcheck, shellcheck. They take minutes.
lint-full: deps-full
	@$(MAKE) --no-print-directory lint docs-check
	@/usr/bin/python3 tests/lint/analyze.py

# Manual pages: the text of doc/*.in with what the programs' tables say. doc/fill PROGRAM TEMPLATE.
DOC_SRC   = $(wildcard doc/*.in)
DOC_PAGES = $(DOC_SRC:doc/%.in=build/doc/%)
.PHONY: docs docs-check
docs: $(DOC_PAGES)
build/doc/weir-relayd%: doc/weir-relayd%.in doc/fill links
	@mkdir -p $(@D)
	@doc/fill build/weir-relayd $< >$@
build/doc/weir-config%: doc/weir-config%.in doc/fill links
	@mkdir -p $(@D)
	@doc/fill build/weir-relayd $< >$@
build/doc/%: doc/%.in doc/fill links
	@mkdir -p $(@D)
	@doc/fill build/weir $< >$@
docs-check: docs
	@said=$$(for p in $(DOC_PAGES); do groff -man -Tutf8 -ww -z $$p || echo "$$p: groff failed"; done 2>&1); \
		[ -z "$$said" ] || { echo "$$said"; exit 1; }

# Real programs on loopback against the demo world; each test has a directory and ports of its own.
# They wait more than they work, so that two files of them run side by side.
# Tests measure the relay's memory: what the address sanitizer keeps of freed memory is little.
SYSTEM_TESTS   = tests/system
SYSTEM_SECONDS = 900
.PHONY: check-system
check-system: all
	@WEIR_BUILD=$(CURDIR)/$(BUILD) PYTHONDONTWRITEBYTECODE=1 ASAN_OPTIONS=quarantine_size_mb=4 \
		timeout $(SYSTEM_SECONDS) /usr/bin/python3 -m pytest -q -p no:cacheprovider -n 2 --dist loadfile \
		$(SYSTEM_TESTS)

# Of these, those with other people's relays: Postfix, which it installs, Exim and OpenSMTPD, which tests/fetch-peers
# puts under build/peers.
.PHONY: check-peers
check-peers: deps-full
	@$(MAKE) --no-print-directory -j2 check-system SYSTEM_TESTS='tests/system/test_mta.py tests/system/test_peers.py tests/system/test_bounce_mta.py'

# kill -9 under load, again and again: prints how many acknowledged messages were lost (none may) or doubled.
KILLS = 60
.PHONY: soak-kill
soak-kill: all
	@WEIR_BUILD=$(CURDIR)/$(BUILD) WEIR_KILLS=$(KILLS) PYTHONDONTWRITEBYTECODE=1 timeout $(SYSTEM_SECONDS) \
		/usr/bin/python3 -m pytest -q -s -p no:cacheprovider -m kill tests/system

# Figures beside Postfix and others; they take minutes each and assert nothing. See tests/bench.
BENCH_SRC = $(wildcard tests/bench/*.c)
.PHONY: bench bench-build
bench-build: all $(BENCH_SRC:%.c=$(BUILD)/%)
bench: deps-full
	@$(MAKE) --no-print-directory -j2 bench-build
	@WEIR_BUILD=$(CURDIR)/$(BUILD) tests/bench/throughput.sh -n 5000
	@WEIR_BUILD=$(CURDIR)/$(BUILD) tests/bench/throughput.sh -n 5000 -d
	@WEIR_BUILD=$(CURDIR)/$(BUILD) tests/bench/throughput.sh -t -n 3000
	@WEIR_BUILD=$(CURDIR)/$(BUILD) tests/bench/throughput.sh -t -n 5000 -d
	@WEIR_BUILD=$(CURDIR)/$(BUILD) /usr/bin/python3 tests/bench/million.py
	@WEIR_BUILD=$(CURDIR)/$(BUILD) /usr/bin/python3 tests/bench/priority.py
	@$(BUILD)/tests/bench/bench_config

# Each parser of outside bytes, FUZZ_SECONDS each, from its corpus; what is found stays in build/fuzz.
FUZZ_SECONDS = 20
FUZZ_SRC = $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_BIN = $(FUZZ_SRC:tests/fuzz/%.c=build/clang-fuzz/%)
.PHONY: fuzz fuzz-build
fuzz: deps-full
	@$(MAKE) --no-print-directory -j2 fuzz-build
	@tests/run-fuzz $(FUZZ_SECONDS) $(FUZZ_BIN)
fuzz-build:
	@$(MAKE) --no-print-directory CC=clang BUILD=build/clang-fuzz SAN=1 \
		EXTRA_CFLAGS=-fsanitize=fuzzer-no-link fuzz-link
.PHONY: fuzz-link
fuzz-link: $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/%)
$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(TEST_LIB_OBJ) $(LIB)
	@echo "  LD $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS) -lcmocka -lvterm -lutil

# Programs, pages, completions, themes, examples. The configuration itself, /etc/weir, is nobody's but yours.
BINDIR   = $(PREFIX)/bin
MANDIR   = $(PREFIX)/share/man
THEMEDIR = $(PREFIX)/share/weir/themes
DOCDIR   = $(PREFIX)/share/doc/weir
UNITDIR  = $(PREFIX)/lib/systemd/system
USERSDIR = $(PREFIX)/lib/sysusers.d
BASHDIR  = $(PREFIX)/share/bash-completion/completions
ZSHDIR   = $(PREFIX)/share/zsh/site-functions
FISHDIR  = $(PREFIX)/share/fish/vendor_completions.d
INSTALLED = $(PROGRAMS:%=$(BINDIR)/%) $(foreach p,$(DOC_PAGES),$(MANDIR)/man$(subst .,,$(suffix $p))/$(notdir $p)) \
	$(BASHDIR)/weir $(ZSHDIR)/_weir $(FISHDIR)/weir.fish $(UNITDIR)/weir-relayd.service $(USERSDIR)/weir.conf \
	$(PREFIX)/share/weir $(DOCDIR)
.PHONY: install uninstall
install: all docs
	install -d $(addprefix $(DESTDIR),$(sort $(THEMEDIR) $(DOCDIR) $(dir $(INSTALLED))))
	install -m 755 $(PROGRAMS:%=$(BUILD)/%) $(DESTDIR)$(BINDIR)
	for p in $(notdir $(DOC_PAGES)); do install -m 644 build/doc/$$p $(DESTDIR)$(MANDIR)/man$${p##*.} || exit 1; done
	install -m 644 themes/*.theme $(DESTDIR)$(THEMEDIR)
	install -m 644 README.md LICENSE dist/relayd.conf $(DESTDIR)$(DOCDIR)
	$(BUILD)/weir completion bash >$(DESTDIR)$(BASHDIR)/weir
	$(BUILD)/weir completion zsh >$(DESTDIR)$(ZSHDIR)/_weir
	$(BUILD)/weir completion fish >$(DESTDIR)$(FISHDIR)/weir.fish
	sed 's|@BINDIR@|$(BINDIR)|' dist/weir-relayd.service >$(DESTDIR)$(UNITDIR)/weir-relayd.service
	install -m 644 dist/weir.sysusers $(DESTDIR)$(USERSDIR)/weir.conf
uninstall:
	rm -rf $(addprefix $(DESTDIR),$(INSTALLED))

.PHONY: clean
clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
