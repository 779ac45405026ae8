# SPDX-License-Identifier: BSD-3-Clause
# Builds libhyperderp, hyper-derp and their tests. `make help` lists the targets; docs and README
# say what they are for. Source files are found by wildcard: a new file needs no edit here.

MAKEFLAGS += -r
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

comma := ,
empty :=
space := $(empty) $(empty)
quoted = '$(subst ','\'',$(1))'

# ---- Settings, from the command line or the environment ----------------------------------------

# SAN=address,undefined or SAN=thread builds with these sanitizers, in a directory of their own.
SAN ?=
ifeq ($(SAN),)
BUILD ?= build
else ifneq ($(findstring address,$(SAN)),)
BUILD ?= build-asan
else ifneq ($(findstring thread,$(SAN)),)
BUILD ?= build-tsan
else
BUILD ?= build-$(subst $(comma),-,$(SAN))
endif

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
CMAKEDIR ?= $(LIBDIR)/cmake/hyperderp
SYSCONFDIR ?= /etc
DATADIR ?= $(PREFIX)/share
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSCTLDIR ?= $(PREFIX)/lib/sysctl.d
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
DESTDIR ?=

# CROSS_COMPILE=aarch64-linux-gnu- takes the tools with this prefix; SYSROOT= is the root with the
# headers and libraries of that machine, if they are not where those tools look by themselves.
CROSS_COMPILE ?=
SYSROOT ?=
ifneq ($(CROSS_COMPILE),)
ifeq ($(origin CC),default)
CC := $(CROSS_COMPILE)gcc $(SYSROOT:%=--sysroot=%)
endif
ifeq ($(origin AR),default)
AR := $(CROSS_COMPILE)ar
endif
ifeq ($(origin LD),default)
LD := $(CROSS_COMPILE)ld
endif
OBJCOPY ?= $(CROSS_COMPILE)objcopy
# With a root of its own the machine's pkg-config does: it reads what is in there, and nothing else.
ifeq ($(SYSROOT),)
PKG_CONFIG ?= $(CROSS_COMPILE)pkg-config
else
PKG_CONFIG ?= env PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) \
	PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(CROSS_COMPILE:%-=%)/pkgconfig:$(SYSROOT)/usr/share/pkgconfig \
	pkg-config
endif
endif

PKG_CONFIG ?= pkg-config
OBJCOPY ?= objcopy
INSTALL ?= install
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 60
WERROR ?= 0
V ?= 0

# ---- What there is -----------------------------------------------------------------------------

VERSION := $(shell awk '$$2 == "HYPERDERP_VERSION" { gsub(/"/, "", $$3); print $$3 }' \
	include/hyperderp/version.h)
ABI_SINCE := $(shell awk '$$2 == "HYPERDERP_ABI_SINCE" { gsub(/"/, "", $$3); print $$3 }' \
	include/hyperderp/version.h)
ABI := $(shell awk '$$2 == "HYPERDERP_ABI_VERSION" { print $$3 }' include/hyperderp/version.h)
SONAME := libhyperderp.so.$(ABI)

HEADERS := $(wildcard include/hyperderp/*.h)
LIB_SRCS := $(sort $(wildcard lib/*.c lib/*/*.c))
DAEMON_SRCS := $(sort $(wildcard daemon/*.c))
BENCH_SRCS := $(sort $(wildcard bench/*.c))
FLOOR_SRCS := $(sort $(wildcard bench/floor/*.c))
UNIT_SRCS := $(sort $(wildcard tests/unit/*.c))
MISUSE_SRCS := $(sort $(wildcard tests/unit/misuse/*.c))
DAEMON_TEST_SRCS := $(sort $(wildcard tests/daemon/*.c))
INTEGRATION_SRCS := $(sort $(wildcard tests/integration/*.c))
TORTURE_SRCS := $(sort $(wildcard tests/torture/*.c))
FUZZ_SRCS := $(sort $(wildcard tests/fuzz/fuzz_*.c))
SIMULATION_SRCS := $(sort $(wildcard tests/simulation/*.c))
MANPAGES := $(sort $(wildcard man/*.[1-8]))

OBJ := $(BUILD)/obj
LIB_OBJS := $(LIB_SRCS:%.c=$(OBJ)/%.o)
# What sends raw bytes is for programs of this tree, which find it in the archive.
SO_OBJS := $(filter-out $(OBJ)/lib/client/client_socket.o $(OBJ)/lib/client/stream.o,$(LIB_OBJS))
DAEMON_OBJS := $(DAEMON_SRCS:%.c=$(OBJ)/%.o)
BENCH_OBJS := $(BENCH_SRCS:%.c=$(OBJ)/%.o)
FLOOR_OBJS := $(FLOOR_SRCS:%.c=$(OBJ)/%.o)
# Files named test_*.c are programs; the other files beside them are linked into each of those.
UNIT_SHARED := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tests/unit/test_%,$(UNIT_SRCS)))
# All of the daemon but its main(): for its unit tests, and programs that use a part of it.
DAEMON_PARTS := $(filter-out $(OBJ)/daemon/main.o,$(DAEMON_OBJS))
DAEMON_TEST_SHARED := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tests/daemon/test_%,$(DAEMON_TEST_SRCS))) \
	$(DAEMON_PARTS)
INTEGRATION_SHARED := $(patsubst %.c,$(OBJ)/%.o,\
	$(filter-out tests/integration/test_%,$(INTEGRATION_SRCS)))
TORTURE_SHARED := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tests/torture/test_%,$(TORTURE_SRCS))) \
	$(INTEGRATION_SHARED)

ARCHIVE := $(BUILD)/libhyperderp.a
SHARED := $(BUILD)/$(SONAME)
DAEMON := $(BUILD)/hyper-derp
BENCH := $(BUILD)/hyper-derp-bench
# What relaying costs at the least; not a relay, and not installed.
FLOOR := $(BUILD)/hyper-derp-floor
PC := $(BUILD)/libhyperderp.pc
CMAKE_FILES := $(BUILD)/install/hyperderp-config.cmake $(BUILD)/install/hyperderp-config-version.cmake
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(filter tests/unit/test_%,$(UNIT_SRCS)))
DAEMON_TESTS := $(patsubst %.c,$(BUILD)/%,$(filter tests/daemon/test_%,$(DAEMON_TEST_SRCS)))
INTEGRATION_TESTS := $(patsubst %.c,$(BUILD)/%,$(filter tests/integration/test_%,$(INTEGRATION_SRCS)))
# INTEGRATION=test_flood runs this one alone.
INTEGRATION ?= $(notdir $(INTEGRATION_TESTS))
TORTURE_TESTS := $(patsubst %.c,$(BUILD)/%,$(filter tests/torture/test_%,$(TORTURE_SRCS)))
SHIFT_CLOCK := $(BUILD)/tests/torture/shift_clock.so
# TORTURE=test_soak runs this one alone.
TORTURE ?= $(notdir $(TORTURE_TESTS))
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRCS))
# Those that read the daemon's files.
DAEMON_FUZZ := config toml
REPLAYS := $(FUZZ_NAMES:%=$(BUILD)/tests/fuzz/replay_%)
SIMULATE := $(BUILD)/tests/simulation/simulate
TOML_DECODER := $(BUILD)/tests/toml-decoder
CONFIG_PAGES := $(BUILD)/config-pages
# The public client at work, for the tests in tests/interop.
EXERCISE := $(BUILD)/tests/client/exercise
TESTS := $(SIMULATE) $(CONFIG_PAGES) $(TOML_DECODER) $(EXERCISE) $(UNIT_TESTS) $(DAEMON_TESTS) $(INTEGRATION_TESTS) \
	$(TORTURE_TESTS) $(REPLAYS)

# ---- Flags -------------------------------------------------------------------------------------

# What the library needs, as pkg-config modules; the .pc file names the same ones.
MODULES := liburing libsodium jansson libssl libcrypto
# Those without a .pc file are linked by their names.
PLAIN_LIBS := -lwslay
# A faster AES-GCM for records: used where it is installed (IPSEC_MB=0 builds without it, 1 insists).
IPSEC_MB ?= auto
# What the daemon needs besides.
DAEMON_MODULES := yaml-0.1 jansson libseccomp
# Those of which it sees the headers alone: it loads them when they are needed (optional_library.h).
DAEMON_LOADED_MODULES := libmicrohttpd libsystemd libcurl
MODULE_VERSIONS := 'liburing >= 2.3' 'libsodium >= 1.0.18' 'jansson >= 2.13' 'libssl >= 3.0' 'yaml-0.1 >= 0.2.5' \
	'libmicrohttpd >= 0.9.75' 'libsystemd >= 250' 'libcurl >= 7.85' 'libseccomp >= 2.5'

# Targets that compile nothing work on a machine where nothing is installed yet.
ifneq ($(filter-out clean help uninstall dist distcheck check-reproducible check-aarch64,$(or $(MAKECMDGOALS),all)),)
MODULES_MISSING := $(shell for module in $(MODULE_VERSIONS); do \
	$(PKG_CONFIG) --exists "$$module" 2>/dev/null || printf '%s; ' "$$module"; done)
ifneq ($(MODULES_MISSING),)
$(error pkg-config does not find $(MODULES_MISSING)run ./bootstrap to install what is missing)
endif
WSLAY_FOUND := $(shell printf '#include <wslay/wslay.h>' | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1 && echo yes)
ifneq ($(WSLAY_FOUND),yes)
$(error the compiler does not find wslay/wslay.h; run ./bootstrap to install what is missing)
endif
ifneq ($(IPSEC_MB),0)
IPSEC_MB_FOUND := $(shell printf '#include <intel-ipsec-mb.h>\nint main(void) { free_mb_mgr(0); return IMB_FEATURE_SELF_TEST_PASS; }' | \
	$(CC) $(CPPFLAGS) $(CFLAGS) -x c - -o /dev/null $(LDFLAGS) -lIPSec_MB >/dev/null 2>&1 && echo yes)
ifeq ($(IPSEC_MB_FOUND),yes)
PLAIN_LIBS += -lIPSec_MB
IPSEC_MB_DEFS := -DHAVE_IPSEC_MB
else ifeq ($(IPSEC_MB),1)
$(error IPSEC_MB=1, but there is no libipsec-mb of which a program can be made; run ./bootstrap)
endif
endif
MODULE_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(MODULES)) $(IPSEC_MB_DEFS)
MODULE_LIBS := $(shell $(PKG_CONFIG) --libs $(MODULES)) $(PLAIN_LIBS)
DAEMON_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(DAEMON_MODULES) $(DAEMON_LOADED_MODULES))
DAEMON_LIBS := $(shell $(PKG_CONFIG) --libs $(DAEMON_MODULES))
# The web servers of the tests call it themselves.
DAEMON_TEST_LIBS := $(shell $(PKG_CONFIG) --libs libmicrohttpd)
CMOCKA_CFLAGS := $(shell $(PKG_CONFIG) --silence-errors --cflags cmocka)
CMOCKA_LIBS := $(shell $(PKG_CONFIG) --silence-errors --libs cmocka || echo -lcmocka)
CC_VERSION := $(shell $(CC) -dumpfullversion -dumpversion 2>/dev/null)
# $(call accepted,FLAGS): those that this compiler and its linker take without a word.
accepted = $(foreach flag,$(1),$(shell said=$$(printf '#include <stdio.h>\nint main(void) { return 0; }' | \
	$(CC) $(CPPFLAGS) -U_FORTIFY_SOURCE -O2 -Werror $(flag) -x c - -o /dev/null 2>&1) && [ -z "$$said" ] && \
	echo '$(flag)'))
endif

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wdate-time
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

ifeq ($(SAN),)
CFLAGS ?= -O2 -g
# Level 3 of _FORTIFY_SOURCE needs gcc 12 and glibc 2.34. Distributions set a level of their own,
# hence the -U. What marks calls and returns is -fcf-protection on x86, -mbranch-protection on ARM.
# tests/check/hardening.sh looks at what came of it.
ifndef HARDEN
FORTIFY := $(or $(call accepted,-D_FORTIFY_SOURCE=3),-D_FORTIFY_SOURCE=2)
HARDEN := -fstack-protector-strong -U_FORTIFY_SOURCE $(FORTIFY) \
	$(call accepted,-fstack-clash-protection -fcf-protection=full -mbranch-protection=standard)
# The start files of some C libraries (glibc 2.36 of Debian 12) have no note about shadow stacks,
# and the linker would leave it out for all; they call and return like any code.
HARDEN_LINK := $(call accepted,-Wl$(comma)-z$(comma)shstk)
endif
SO_DEFS := -Wl,-z,defs
else
CFLAGS ?= -O1 -g
HARDEN ?=
# A shared library leaves the functions of a sanitizer's runtime to the program.
SO_DEFS :=
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

# What is built does not depend on where, so that anybody can build the same bytes: debug information
# names sources from the top of the tree. tests/check/reproducible.sh compares two builds.
SAME_PATHS := -ffile-prefix-map=$(call quoted,$(CURDIR)=.)

HD_CFLAGS = -std=c17 $(WARNINGS) -fvisibility=hidden -pthread $(SAME_PATHS) $(CFLAGS) $(SANFLAGS)
HD_CPPFLAGS = -D_GNU_SOURCE $(CPPFLAGS) $(HARDEN) $(MODULE_CFLAGS)
HD_LDFLAGS = -pthread -Wl,-z,relro,-z,now,-z,noexecstack $(HARDEN_LINK) -Wl,--as-needed $(SANFLAGS) $(LDFLAGS)
LIBS = $(MODULE_LIBS) $(LDLIBS)

# The daemon sees the public headers alone.
$(OBJ)/lib/%.o: OBJ_FLAGS = -Iinclude -Ilib -fPIC
$(OBJ)/daemon/%.o: OBJ_FLAGS = -Iinclude $(DAEMON_CFLAGS) -fPIE
$(OBJ)/tests/daemon/%.o: OBJ_FLAGS = -Iinclude -Idaemon $(DAEMON_CFLAGS) $(CMOCKA_CFLAGS) -fPIE
$(OBJ)/docs/generate/%.o: OBJ_FLAGS = -Iinclude -Idaemon $(DAEMON_CFLAGS) -fPIE
$(OBJ)/tests/toml/%.o: OBJ_FLAGS = -Iinclude -Idaemon $(DAEMON_CFLAGS) -fPIE
$(OBJ)/bench/%.o: OBJ_FLAGS = -Iinclude -Ilib -fPIE
$(OBJ)/tests/client/%.o: OBJ_FLAGS = -Iinclude -fPIE
$(OBJ)/tests/%.o: OBJ_FLAGS = -Iinclude -Ilib $(CMOCKA_CFLAGS) -fPIE
$(OBJ)/tests/torture/%.o: OBJ_FLAGS = -Iinclude -Ilib -Itests/integration $(CMOCKA_CFLAGS) -fPIE
$(DAEMON_FUZZ:%=$(OBJ)/tests/fuzz/fuzz_%.o): OBJ_FLAGS = -Iinclude -Idaemon -fPIE

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

# ---- Building ----------------------------------------------------------------------------------

.PHONY: all
all: $(DAEMON) $(BENCH) $(FLOOR) $(ARCHIVE) $(SHARED) $(PC) $(TESTS) ## build everything, into build/ (the default)

# Two stamps, rewritten only when their contents change. `flags` makes every object anew when a
# flag, the compiler or its version is another; `sources` links anew when a file came or went.
FLAGS_TEXT = $(CC) $(CC_VERSION) $(FUZZ_CC) $(FUZZ_FLAGS) $(HD_CPPFLAGS) $(HD_CFLAGS) $(HD_LDFLAGS) $(LIBS)
SOURCES_TEXT = $(LIB_SRCS) $(DAEMON_SRCS) $(BENCH_SRCS) $(FLOOR_SRCS) $(UNIT_SRCS) $(MISUSE_SRCS) \
	$(DAEMON_TEST_SRCS) $(INTEGRATION_SRCS) $(TORTURE_SRCS) $(SIMULATION_SRCS)
PC_TEXT = $(PREFIX) $(LIBDIR) $(INCLUDEDIR) $(CMAKEDIR) $(VERSION) $(SONAME) $(ABI_SINCE) $(MODULES) $(PLAIN_LIBS)

define stamp
@mkdir -p $(@D)
@printf '%s\n' $(call quoted,$(1)) >$@.new
@if cmp -s $@.new $@; then rm -f $@.new; else mv -f $@.new $@; fi
endef

.PHONY: FORCE
FORCE:
$(BUILD)/flags: FORCE
	$(call stamp,$(FLAGS_TEXT))
$(BUILD)/sources: FORCE
	$(call stamp,$(SOURCES_TEXT))
$(BUILD)/dirs: FORCE
	$(call stamp,$(PC_TEXT))

$(OBJ)/%.o: %.c $(BUILD)/flags
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(OBJ_FLAGS) $(HD_CPPFLAGS) $(HD_CFLAGS) -MMD -MP -c -o $@ $<

$(ARCHIVE): $(LIB_OBJS) $(BUILD)/sources
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcsD $@ $(LIB_OBJS)

$(SHARED): $(SO_OBJS) lib/libhyperderp.map $(BUILD)/flags $(BUILD)/sources
	$(say) LINK $@
	$(Q)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=lib/libhyperderp.map $(SO_DEFS) \
		$(HD_LDFLAGS) -o $@ $(SO_OBJS) $(LIBS)
	$(Q)ln -sf $(SONAME) $(BUILD)/libhyperderp.so

# What is installed as the static library is one object in which only the public functions are
# visible, so that internal names like conn_close() never meet those of the program around it.
$(BUILD)/install/libhyperderp.a: $(SO_OBJS) $(BUILD)/flags $(BUILD)/sources
	$(say) AR $@
	@mkdir -p $(@D)
	$(Q)$(CC) -r -nostdlib -o $(@D)/libhyperderp.o $(SO_OBJS)
	$(Q)$(OBJCOPY) --localize-hidden $(@D)/libhyperderp.o
	$(Q)rm -f $@ && $(AR) rcsD $@ $(@D)/libhyperderp.o

$(PC): pkgconfig/libhyperderp.pc.in $(BUILD)/dirs
	$(say) GEN $@
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' \
		-e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${exec_prefix}/%,$(LIBDIR))|' \
		-e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' \
		-e 's|@VERSION@|$(VERSION)|' -e 's|@REQUIRES@|$(MODULES)|' \
		-e 's|@PLAIN_LIBS@|$(PLAIN_LIBS)|' $< >$@

# From one folder of the installation to another, without a look at the folders of this machine.
from_cmake_to = $(shell realpath -sm --relative-to=$(CMAKEDIR) $(1))

$(BUILD)/install/%.cmake: pkgconfig/%.cmake.in $(BUILD)/dirs $(BUILD)/flags
	$(say) GEN $@
	@mkdir -p $(@D)
	$(Q)sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@ABI_SINCE@|$(ABI_SINCE)|g' -e 's|@SONAME@|$(SONAME)|g' \
		-e 's|@LIB@|$(call from_cmake_to,$(LIBDIR))|g' -e 's|@INCLUDE@|$(call from_cmake_to,$(INCLUDEDIR))|g' \
		-e 's|@MODULES@|$(MODULES)|g' -e 's|@PLAIN_LIBS@|$(PLAIN_LIBS:-l%=%)|g' \
		-e "s|@POINTER_SIZE@|$$(echo __SIZEOF_POINTER__ | $(CC) -E -P -x c - | tr -d '\n')|g" $< >$@

define link
$(say) LINK $@
@mkdir -p $(@D)
$(Q)$(CC) -pie $(HD_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(1) $(LIBS)
endef

$(DAEMON): $(DAEMON_OBJS) $(ARCHIVE) $(BUILD)/flags $(BUILD)/sources
	$(call link,$(DAEMON_LIBS) -lm)

# The page is part of the program.
$(OBJ)/daemon/status_page.o: daemon/status_page.html

# Programs of the tree that use parts of the daemon.
$(TOML_DECODER): $(OBJ)/tests/toml/toml_decoder.o $(DAEMON_PARTS) $(ARCHIVE) $(BUILD)/flags \
		$(BUILD)/sources
	$(call link,$(DAEMON_LIBS) -lm)

$(EXERCISE): $(OBJ)/tests/client/exercise.o $(ARCHIVE) $(BUILD)/flags $(BUILD)/sources
	$(call link)

$(CONFIG_PAGES): $(OBJ)/docs/generate/config_pages.o $(DAEMON_PARTS) $(ARCHIVE) $(BUILD)/flags \
		$(BUILD)/sources
	$(call link,$(DAEMON_LIBS) -lm)

$(BENCH): $(BENCH_OBJS) $(ARCHIVE) $(BUILD)/flags $(BUILD)/sources
	$(call link)

$(FLOOR): $(FLOOR_OBJS) $(ARCHIVE) $(BUILD)/flags $(BUILD)/sources
	$(call link)

# The names of all public functions, for the test that calls each of them as it should not be.
PUBLIC_FUNCTIONS := $(BUILD)/generated/public_functions.inc
$(PUBLIC_FUNCTIONS): $(HEADERS)
	@mkdir -p $(@D)
	$(Q)cat $(HEADERS) | tr '\n' ' ' | grep -oE 'HYPERDERP_API [^;(]*\(' | \
		sed -E 's/.*[ *]([a-z0-9_]+)\($$/"\1",/' | grep '^"hyperderp_' | sort >$@

$(OBJ)/tests/unit/test_api_misuse.o: $(PUBLIC_FUNCTIONS)
$(OBJ)/tests/unit/test_api_misuse.o: OBJ_FLAGS = -Iinclude -Ilib $(CMOCKA_CFLAGS) -I$(BUILD)/generated -fPIE
$(BUILD)/tests/unit/test_api_misuse: $(MISUSE_SRCS:%.c=$(OBJ)/%.o)

# Lets an allocation fail.
$(BUILD)/tests/unit/test_no_memory: LINK_WRAPS := -Wl,--wrap=malloc

$(BUILD)/tests/unit/%: $(OBJ)/tests/unit/%.o $(UNIT_SHARED) $(ARCHIVE) $(BUILD)/flags $(BUILD)/sources
	$(call link,$(CMOCKA_LIBS) $(LINK_WRAPS))

$(BUILD)/tests/daemon/%: $(OBJ)/tests/daemon/%.o $(DAEMON_TEST_SHARED) $(ARCHIVE) $(BUILD)/flags \
		$(BUILD)/sources
	$(call link,$(CMOCKA_LIBS) $(DAEMON_LIBS) $(DAEMON_TEST_LIBS) -lm)

$(BUILD)/tests/valgrind/%: $(OBJ)/tests/valgrind/%.o $(BUILD)/flags
	$(call link)

$(BUILD)/tests/integration/%: $(OBJ)/tests/integration/%.o $(INTEGRATION_SHARED) $(ARCHIVE) \
		$(BUILD)/flags $(BUILD)/sources
	$(call link,$(CMOCKA_LIBS))

$(BUILD)/tests/torture/%: $(OBJ)/tests/torture/%.o $(TORTURE_SHARED) $(ARCHIVE) \
		$(BUILD)/flags $(BUILD)/sources
	$(call link,$(CMOCKA_LIBS))

# What is loaded before the daemon's own libraries, by tests that say so.
$(SHIFT_CLOCK): tests/torture/preload/shift_clock.c $(BUILD)/flags
	$(say) LINK $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -fsanitize% -fno-sanitize%,$(HD_CPPFLAGS) $(HD_CFLAGS)) -fPIC -fvisibility=default -shared -o $@ $<

$(BUILD)/tests/fuzz/replay_%: $(OBJ)/tests/fuzz/fuzz_%.o $(OBJ)/tests/fuzz/replay.o $(ARCHIVE) \
		$(BUILD)/flags $(BUILD)/sources
	$(call link)

$(DAEMON_FUZZ:%=$(BUILD)/tests/fuzz/replay_%): $(BUILD)/tests/fuzz/replay_%: \
		$(OBJ)/tests/fuzz/fuzz_%.o $(OBJ)/tests/fuzz/replay.o $(DAEMON_PARTS) $(ARCHIVE) \
		$(BUILD)/flags $(BUILD)/sources
	$(call link,$(DAEMON_LIBS) -lm)

# The simulation has an engine of its own in place of lib/io's, and is the kernel for the library.
SIMULATION_WRAPS := malloc calloc realloc reallocarray aligned_alloc posix_memalign strdup free \
	socket connect close shutdown send recv getpeername getsockname setsockopt getsockopt ioctl getrandom \
	clock_gettime nanosleep pthread_create pthread_join pthread_mutex_lock pthread_cond_wait \
	pthread_cond_timedwait
SIMULATION_LINK := $(SIMULATION_WRAPS:%=-Wl,--wrap=%)
SIMULATION_OBJS := $(SIMULATION_SRCS:%.c=$(OBJ)/%.o)

# What of it is not its main(): for the fuzz target that runs it.
SIMULATION_PARTS := $(filter-out $(OBJ)/tests/simulation/simulate.o,$(SIMULATION_OBJS))

$(BUILD)/tests/fuzz/replay_relay: $(OBJ)/tests/fuzz/fuzz_relay.o $(OBJ)/tests/fuzz/replay.o \
		$(SIMULATION_PARTS) $(ARCHIVE) $(BUILD)/flags $(BUILD)/sources
	$(call link,$(SIMULATION_LINK))

$(SIMULATE): $(SIMULATION_OBJS) $(ARCHIVE) $(BUILD)/flags $(BUILD)/sources
	$(call link,$(SIMULATION_LINK))

.SECONDARY:

# ---- Fuzzing: objects of their own, as libFuzzer wants its instrumentation in the library too ---

FUZZ := $(BUILD)/fuzz
FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_LIB_OBJS := $(LIB_SRCS:%.c=$(FUZZ)/obj/%.o)
FUZZ_DAEMON_OBJS := $(DAEMON_PARTS:$(OBJ)/%=$(FUZZ)/obj/%)
FUZZERS := $(FUZZ_NAMES:%=$(FUZZ)/fuzz_%)
FUZZ_INCLUDES := -Iinclude -Ilib
$(DAEMON_FUZZ:%=$(FUZZ)/obj/tests/fuzz/fuzz_%.o): FUZZ_INCLUDES := -Iinclude -Idaemon

# Said once and plainly, rather than by each compilation.
.PHONY: fuzz-compiler
fuzz-compiler:
	@command -v $(firstword $(FUZZ_CC)) >/dev/null || \
		{ echo 'fuzzing needs $(firstword $(FUZZ_CC)): ./bootstrap --ci installs it' >&2; exit 1; }

$(FUZZ)/obj/%.o: %.c $(BUILD)/flags | fuzz-compiler
	$(say) FUZZCC $<
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_INCLUDES) -D_GNU_SOURCE $(CPPFLAGS) $(MODULE_CFLAGS) $(DAEMON_CFLAGS) \
		-std=c17 $(WARNINGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -pthread -MMD -MP -c -o $@ $<

$(FUZZ)/fuzz_%: $(FUZZ)/obj/tests/fuzz/fuzz_%.o $(FUZZ_LIB_OBJS) $(BUILD)/flags $(BUILD)/sources
	$(say) LINK $@
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -pthread -o $@ $(filter %.o,$^) $(LIBS)

# The simulation is the kernel for the library and itself, not for libFuzzer's own threads and clock:
# they are linked beforehand.
FUZZ_SIMULATED := $(SIMULATION_PARTS:$(OBJ)/%=$(FUZZ)/obj/%) \
	$(filter-out $(addprefix $(FUZZ)/obj/lib/io/,loop.o uring.o epoll.o driven.o),\
	$(FUZZ_LIB_OBJS))

$(FUZZ)/simulated.o: $(FUZZ_SIMULATED) $(BUILD)/flags $(BUILD)/sources
	$(say) LINK $@
	$(Q)$(LD) -r $(SIMULATION_WRAPS:%=--wrap=%) -o $@ $(FUZZ_SIMULATED)

$(FUZZ)/fuzz_relay: $(FUZZ)/obj/tests/fuzz/fuzz_relay.o $(FUZZ)/simulated.o
	$(say) LINK $@
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -pthread -o $@ $^ $(LIBS)

$(DAEMON_FUZZ:%=$(FUZZ)/fuzz_%): $(FUZZ)/fuzz_%: $(FUZZ)/obj/tests/fuzz/fuzz_%.o \
		$(FUZZ_DAEMON_OBJS) $(FUZZ_LIB_OBJS) $(BUILD)/flags $(BUILD)/sources
	$(say) LINK $@
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -pthread -o $@ $(filter %.o,$^) $(DAEMON_LIBS) -lm \
		$(LIBS)

# ---- Running and testing -----------------------------------------------------------------------

.PHONY: run
run: $(DAEMON) $(BENCH) ## build and start a relay on 127.0.0.1:3340, for trying things out
	@exec $(DAEMON) --dev

RESULTS = $(BUILD)/results/$@
RUNNER = tests/run-tests --results $(RESULTS)
TEST_ENV = BUILD=$(abspath $(BUILD)) HYPER_DERP=$(abspath $(DAEMON)) \
	HYPER_DERP_BENCH=$(abspath $(BENCH)) HYPER_DERP_FLOOR=$(abspath $(FLOOR)) \
	HYPER_DERP_EXERCISE=$(abspath $(EXERCISE)) SAN=$(call quoted,$(SAN)) \
	CC=$(call quoted,$(CC)) WERROR=$(WERROR) GNUMAKE=$(call quoted,$(MAKE_COMMAND)) \
	SONAME=$(SONAME) VERSION=$(VERSION)

STYLE_CHECKS := tests/check/pages.sh tests/check/compatibility.sh tests/check/man.sh tests/check/format.sh tests/check/includes.sh tests/check/words.sh \
	tests/check/symbols.sh tests/check/selftest.sh tests/check/reference.sh tests/check/allocations.sh tests/check/abi.sh

# The code in docs/embedding.md.
STYLE_CHECKS += tests/check/embedding.sh

# SEEDS=FROM-TO simulates these, however long it takes; otherwise as many as SIMULATION_SECONDS allow.
SEEDS ?=
SIMULATION_SECONDS ?= 20
SIMULATION = $(if $(SEEDS),--seeds $(SEEDS),--seeds 1-1000000000 --seconds $(SIMULATION_SECONDS))

# Each program is given as NAME:COMMAND.
run_style = $(RUNNER) --timeout 120 run style $(foreach c,$(STYLE_CHECKS),'$(basename $(notdir $c)):$c')
run_unit = $(RUNNER) --timeout 120 --parallel run unit \
	$(foreach t,$(UNIT_TESTS) $(DAEMON_TESTS),'$(notdir $t):$t') $(foreach f,$(FUZZ_NAMES),\
	'replay_$f:$(BUILD)/tests/fuzz/replay_$f tests/fuzz/corpus/$f') \
	toml_suite:tests/check/toml.sh compare:bench/compare/check.sh
run_simulation = $(RUNNER) --timeout 3600 run simulation 'seeds:$(SIMULATE) $(SIMULATION)' \
	'self_test:$(SIMULATE) --self-test'
run_integration = $(RUNNER) --timeout 600 run integration \
	$(foreach t,$(INTEGRATION),'$t:$(BUILD)/tests/integration/$t')
run_torture = $(RUNNER) --timeout 900 run torture \
	$(foreach t,$(TORTURE),'$t:$(BUILD)/tests/torture/$t')
run_interop = $(RUNNER) --timeout 900 run interop 'go_test:tests/check/interop.sh' \
	'derper:env INTEROP_REFERENCE=derper tests/check/interop.sh'
run_e2e = $(RUNNER) --timeout 900 run e2e 'go_test:tests/check/e2e.sh'
run_tools = $(RUNNER) --timeout 300 run tools 'openssl:tests/tools/openssl.sh' \
	'gnutls:tests/tools/gnutls.sh' 'curl:tests/tools/curl.sh' \
	'nginx:tests/tools/nginx.sh' 'haproxy:tests/tools/haproxy.sh'
run_install = $(RUNNER) --timeout 300 run install 'destdir:tests/install/install.sh' \
	'hardening:tests/check/hardening.sh' 'dist:tests/check/dist.sh' 'status_page:tests/check/status_page.sh' \
	'websocket:tests/check/websocket.sh'
run_tarball = $(RUNNER) --timeout 600 run tarball 'tarball:tests/install/tarball.sh'
run_reproducible = $(RUNNER) --timeout 600 run reproducible 'two_builds:tests/check/reproducible.sh'
run_aarch64 = $(RUNNER) --timeout 900 run aarch64 'qemu:tests/cross/aarch64.sh'
run_packages = $(RUNNER) --timeout 900 run packages 'debian:tests/install/packages.sh'
run_vm = VM_CONSOLE=$(abspath $(RESULTS))/console.log $(RUNNER) --timeout 480 run vm 'machine:tests/vm/run.sh'
# Those of bench/ are no part of the product.
VALGRIND_TESTS = $(filter-out $(BUILD)/tests/unit/test_bench_%,$(UNIT_TESTS) $(DAEMON_TESTS))
WITHOUT_IO_URING := $(BUILD)/tests/valgrind/without_io_uring
run_valgrind = $(RUNNER) --timeout 600 --parallel run valgrind $(foreach t,$(VALGRIND_TESTS),\
	'$(notdir $t):tests/valgrind/memcheck.sh $(WITHOUT_IO_URING) $t')
run_analysis = ANALYSIS_FLAGS='-std=c17 -Iinclude -Ilib -pthread -D_GNU_SOURCE $(CPPFLAGS) $(MODULE_CFLAGS) $(DAEMON_CFLAGS)' \
	$(RUNNER) --timeout 600 run analysis 'analyzers:tests/check/analysis.sh'
run_fuzz = $(RUNNER) --timeout $$(($(FUZZ_SECONDS) + 120)) run fuzz \
	$(foreach f,$(FUZZ_NAMES),'fuzz_$f:tests/check/fuzz.sh $(FUZZ)/fuzz_$f $(FUZZ_SECONDS)')

# Each suite runs whatever the one before it said; the closing sum decides.
define run_suites
@export $(TEST_ENV); $(RUNNER) start; $(foreach s,$(1),$(run_$(s));) $(RUNNER) sum
endef

# Those that meet a stranger's first bytes.
AFL_NAMES := http tls_record
run_afl = $(RUNNER) --timeout $$(($(FUZZ_SECONDS) + 120)) run afl \
	$(foreach f,$(AFL_NAMES),'afl_$f:tests/check/afl.sh $(FUZZ)/fuzz_$f $(FUZZ_SECONDS)')

INSTALLED := $(DAEMON) $(BENCH) $(SHARED) $(BUILD)/install/libhyperderp.a $(PC) $(CMAKE_FILES)

.PHONY: docs
docs: $(CONFIG_PAGES) ## write the pages that are made from the schema, the metrics, the headers
	@BUILD=$(abspath $(BUILD)) tests/check/pages.sh --write

.PHONY: check check-style check-abi abi-baseline check-unit check-integration check-interop check-e2e check-tools check-install check-packages check-vm torture fuzz check-analysis check-valgrind check-simulation
check: all $(INSTALLED) ## build, then run all tests
	$(call run_suites,style unit simulation integration interop e2e tools install)

check-style: $(SHARED) $(CONFIG_PAGES) ## formatting, direction of includes, exported symbols
	$(call run_suites,style)

# The baseline is that of the last release: written anew with a release, or while there is none.
check-abi: $(SHARED) ## what programs of the last release know of the library is as it was
	@export $(TEST_ENV); tests/check/abi.sh

abi-baseline: $(SHARED) ## for a release: take this library for the one that check-abi compares with
	@export $(TEST_ENV); tests/check/abi.sh --write

check-unit: $(TOML_DECODER) $(UNIT_TESTS) $(DAEMON_TESTS) $(REPLAYS) $(BENCH) $(FLOOR) ## unit tests, and the fuzzers' corpora replayed
	$(call run_suites,unit)

check-simulation: $(SIMULATE) ## the relay in a simulated world: SEEDS=FROM-TO, or SIMULATION_SECONDS=20 of them
	$(call run_suites,simulation)

check-integration: $(INTEGRATION_TESTS) $(DAEMON) $(BENCH) ## tests that start the daemon
	$(call run_suites,integration)

check-interop: $(DAEMON) $(BENCH) $(EXERCISE) ## tests with Tailscale's own client, also against derper itself; they need Go
	$(call run_suites,interop)

check-e2e: $(DAEMON) ## two real tailscaled that reach each other through the daemon alone; needs Go
	$(call run_suites,e2e)

check-tools: $(DAEMON) $(BENCH) ## OpenSSL's and GnuTLS's own programs, curl, and behind nginx and HAProxy
	$(call run_suites,tools)

check-install: $(INSTALLED) $(CONFIG_PAGES) ## install under a temporary DESTDIR and build programs against it
	$(call run_suites,install)

.PHONY: distcheck check-reproducible check-aarch64
distcheck: ## the tarball of make dist builds, tests and installs itself without git, twice to the same bytes
	$(call run_suites,tarball)

check-reproducible: ## two builds in different folders and circumstances give the same bytes
	$(call run_suites,reproducible)

check-aarch64: ## cross-build for 64-bit ARM; unit tests, daemon and load generator by emulation
	$(call run_suites,aarch64)

check-packages: ## build Debian packages, run the service of them under systemd in a virtual machine
	$(call run_suites,packages)

check-vm: $(UNIT_TESTS) $(DAEMON_TESTS) $(INTEGRATION_TESTS) $(DAEMON) $(BENCH) ## tests on a kernel with io_uring and kTLS, in a virtual machine
	$(call run_suites,vm)

torture: $(TORTURE_TESTS) $(SHIFT_CLOCK) $(DAEMON) $(BENCH) ## hostile clients, faults of the machine, soak: what takes longer than check
	$(call run_suites,torture)

check-valgrind: $(VALGRIND_TESTS) $(WITHOUT_IO_URING) ## unit tests under valgrind's memcheck
	$(call run_suites,valgrind)

check-analysis: ## clang's static analyzer and gcc's over the library and the daemon
	$(call run_suites,analysis)

fuzz-afl: ## the same of the most exposed by AFL++
	$(Q)$(MAKE) BUILD=$(BUILD)/afl FUZZ_CC=afl-clang-fast run-afl

.PHONY: fuzz-afl run-afl
run-afl: $(AFL_NAMES:%=$(FUZZ)/fuzz_%)
	$(call run_suites,afl)

fuzz: $(FUZZERS) ## run each fuzzer FUZZ_SECONDS=60 long; needs clang
	$(call run_suites,fuzz)

# ---- Measuring ----------------------------------------------------------------------------------

# `bench` puts its figures and plots into docs/performance.md. BENCH_FLAGS adds options of
# bench/compare/compare.py, such as --only tls;
# SCALING_FLAGS adds those of bench/compare/scaling.py.
.PHONY: bench bench-quick bench-scaling
bench: $(DAEMON) $(BENCH) $(FLOOR) ## compare with Tailscale's derper, in half an hour; needs Go, Python 3, openssl
	bench/compare/compare.py --build $(BUILD) --docs docs/performance.md $(BENCH_FLAGS)

bench-quick: $(DAEMON) $(BENCH) $(FLOOR) ## the same in four minutes, with coarse figures
	bench/compare/compare.py --build $(BUILD) --quick $(BENCH_FLAGS)

bench-scaling: $(DAEMON) $(BENCH) ## what 1 to 32 workers cost per packet, in six minutes; needs Python 3, openssl
	bench/compare/scaling.py --build $(BUILD) $(SCALING_FLAGS)

# ---- Installing --------------------------------------------------------------------------------

CONFIG := $(SYSCONFDIR)/hyper-derp/config.toml
SHIPPED := grafana/hyper-derp.json prometheus/hyper-derp.rules.yml
man_path = $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(1)))/$(notdir $(1))

.PHONY: install uninstall
install: $(INSTALLED) ## install below DESTDIR= PREFIX=/usr/local (LIBDIR= and others as well)
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(PKGCONFIGDIR) \
		$(DESTDIR)$(INCLUDEDIR)/hyperderp $(DESTDIR)$(CMAKEDIR)
	$(INSTALL) -m 755 $(DAEMON) $(BENCH) $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 644 $(SHARED) $(BUILD)/install/libhyperderp.a $(DESTDIR)$(LIBDIR)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libhyperderp.so
	$(INSTALL) -m 644 $(PC) $(DESTDIR)$(PKGCONFIGDIR)
	$(INSTALL) -m 644 $(CMAKE_FILES) $(DESTDIR)$(CMAKEDIR)
	$(INSTALL) -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)/hyperderp
	$(foreach m,$(MANPAGES),$(INSTALL) -D -m 644 $m $(call man_path,$m) &&) :
	$(INSTALL) -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/hyper-derp
	sed 's|@BINDIR@|$(BINDIR)|' dist/systemd/hyper-derp.service >$(DESTDIR)$(UNITDIR)/hyper-derp.service
	chmod 644 $(DESTDIR)$(UNITDIR)/hyper-derp.service
	$(INSTALL) -d -m 700 $(DESTDIR)$(SYSCONFDIR)/hyper-derp/certs
	test -e $(DESTDIR)$(CONFIG) || $(INSTALL) -m 644 dist/config.toml $(DESTDIR)$(CONFIG)
	$(INSTALL) -D -m 644 dist/sysctl.d/60-hyper-derp.conf $(DESTDIR)$(SYSCTLDIR)/60-hyper-derp.conf
	$(INSTALL) -D -m 644 dist/sysusers.d/hyper-derp.conf $(DESTDIR)$(SYSUSERSDIR)/hyper-derp.conf
	$(INSTALL) -D -m 644 dist/tmpfiles.d/hyper-derp.conf $(DESTDIR)$(TMPFILESDIR)/hyper-derp.conf
	$(foreach f,$(SHIPPED),$(INSTALL) -D -m 644 dist/$f $(DESTDIR)$(DATADIR)/hyper-derp/$f &&) :

# The configuration and the keys beside it are the operator's: they stay.
uninstall: ## remove what install put there, given the same DESTDIR and PREFIX
	rm -f $(DESTDIR)$(BINDIR)/hyper-derp $(DESTDIR)$(BINDIR)/hyper-derp-bench
	rm -f $(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/libhyperderp.so \
		$(DESTDIR)$(LIBDIR)/libhyperderp.a $(DESTDIR)$(PKGCONFIGDIR)/libhyperderp.pc
	rm -f $(foreach f,$(CMAKE_FILES),$(DESTDIR)$(CMAKEDIR)/$(notdir $f))
	-rmdir $(DESTDIR)$(CMAKEDIR)
	rm -f $(foreach h,$(HEADERS),$(DESTDIR)$(INCLUDEDIR)/hyperderp/$(notdir $h))
	-rmdir $(DESTDIR)$(INCLUDEDIR)/hyperderp
	rm -f $(foreach m,$(MANPAGES),$(call man_path,$m))
	rm -f $(DESTDIR)$(UNITDIR)/hyper-derp.service $(DESTDIR)$(SYSCTLDIR)/60-hyper-derp.conf \
		$(DESTDIR)$(SYSUSERSDIR)/hyper-derp.conf $(DESTDIR)$(TMPFILESDIR)/hyper-derp.conf
	rm -f $(foreach f,$(SHIPPED),$(DESTDIR)$(DATADIR)/hyper-derp/$f)

# ---- Releasing ---------------------------------------------------------------------------------

.PHONY: dist
dist: ## the sources as build/hyper-derp-VERSION.tar.gz, which builds without git
	@mkdir -p $(BUILD)
	$(Q)dist/tarball.sh hyper-derp-$(VERSION) $(BUILD)/hyper-derp-$(VERSION).tar.gz

.PHONY: clean help
clean: ## remove what was built (build/ and the sanitizers' directories)
	rm -rf $(sort $(BUILD) build build-asan build-tsan build-clang)

help: ## this list
	@echo 'make [TARGET...] [SAN=address,undefined | SAN=thread] [CC=clang] [WERROR=1] [V=1]'
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

-include $(LIB_OBJS:.o=.d) $(DAEMON_OBJS:.o=.d) $(BENCH_OBJS:.o=.d) $(FLOOR_OBJS:.o=.d)
-include $(patsubst %.c,$(OBJ)/%.d,$(UNIT_SRCS) $(MISUSE_SRCS) $(DAEMON_TEST_SRCS) $(INTEGRATION_SRCS) $(TORTURE_SRCS) $(SIMULATION_SRCS) $(FUZZ_SRCS) tests/fuzz/replay.c)
-include $(OBJ)/tests/client/exercise.d
-include $(FUZZ_SIMULATED:.o=.d) $(FUZZ_LIB_OBJS:.o=.d) $(FUZZ_DAEMON_OBJS:.o=.d) $(FUZZ_SRCS:%.c=$(FUZZ)/obj/%.d)
