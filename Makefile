# SPDX-License-Identifier: Apache-2.0
# The front door. meson does the work; every target installs what it needs (tools/install-packages).

BUILD := build
SANITIZE := build-sanitize
FUZZ := build-fuzz
MESON := /usr/bin/meson
NINJA := /usr/bin/ninja --quiet

TSAN := build-tsan
INSTALL := build-install
DEB := build-deb
FUZZ_SECONDS := 60

# Where make install puts programs, pages and completion; DESTDIR comes before it, from where make is called.
PREFIX ?= /usr/local

# A build folder knows its source tree: meson would write all of it anew for another one.
MINE = @if [ -e $(1)/meson-info/meson-info.json ] && \
	! grep -qF '"source": "$(CURDIR)"' $(1)/meson-info/meson-info.json; then \
	echo "$(1) is the build folder of another source tree: name another one (BUILD=, SANITIZE=)" >&2; exit 1; fi

.PHONY: all guests packages sanitize thread-sanitize tsan fuzz prove test check bench bench-transports demo format install dist deb \
	test-install reproducible clean

all: $(BUILD)/build.ninja
	$(call MINE,$(BUILD))
	$(NINJA) -C $(BUILD)
	@ln -sfn guest/programs $(BUILD)/guests

packages:
	@tools/install-packages build

$(BUILD)/build.ninja: | packages
	$(MESON) setup $(BUILD)

# Programs for the guest, which builds with sanitizers carry as they are.
guests: $(BUILD)/build.ninja
	$(call MINE,$(BUILD))
	$(NINJA) -C $(BUILD) guest-programs

# The same programs with the address and undefined-behaviour sanitizers.
sanitize: guests $(SANITIZE)/build.ninja
	$(call MINE,$(SANITIZE))
	$(NINJA) -C $(SANITIZE)

$(SANITIZE)/build.ninja: | packages guests
	$(MESON) setup $(SANITIZE) -Dguest_build=$(BUILD) -Db_sanitize=address,undefined -Db_lundef=false

# With the thread sanitizer: what has threads, unit by unit and in whole jobs.
tsan: all thread-sanitize
	@tools/install-packages test
	tests/run --build $(BUILD) --threads $(TSAN) --filter=threads/

thread-sanitize: guests $(TSAN)/build.ninja
	$(call MINE,$(TSAN))
	$(NINJA) -C $(TSAN) $$(tests/run --threads $(TSAN) --targets)

$(TSAN)/build.ninja: | packages guests
	@tools/install-packages tsan
	$(MESON) setup $(TSAN) -Dguest_build=$(BUILD) -Db_sanitize=thread -Db_lundef=false

# Looks for inputs that no fuzz target has seen, FUZZ_SECONDS for each; FUZZ_TARGETS has some of their names.
fuzz: $(FUZZ)/build.ninja
	$(NINJA) -C $(FUZZ) fuzzers
	tests/fuzz/run --build $(FUZZ) --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

$(FUZZ)/build.ninja: | packages
	@tools/install-packages fuzz
	CC=clang $(MESON) setup $(FUZZ) -Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false \
		-Dwarning_level=0

# For all inputs, or all within bounds that tests/prove tells: a minute.
prove: all
	@tools/install-packages prove
	tests/prove/run --build $(BUILD)

test: all sanitize thread-sanitize
	@tools/install-packages test
	tests/run --build $(BUILD) --sanitize $(SANITIZE) --threads $(TSAN)

check: all
	@tools/install-packages check
	BUILD=$(BUILD) tools/check

bench: all
	@tools/install-packages bench
	bench/run --build $(BUILD)
	bench/images --build $(BUILD)
	bench/info --build $(BUILD)
	bench/fleet --build $(BUILD)

# Figures and plot go to docs/.
bench-transports: all
	@tools/install-packages bench
	bench/transports --build $(BUILD) --store

demo: all
	@tools/install-packages demo
	tools/demo $(BUILD)

format:
	@tools/install-packages check
	tools/check --format

# A build folder of its own: without the tests' programs, and with another prefix than the developer's.
install: $(INSTALL)/build.ninja
	$(MESON) configure $(INSTALL) --prefix "$(PREFIX)"
	$(NINJA) -C $(INSTALL)
	DESTDIR="$${DESTDIR:+$$(realpath -m -- "$$DESTDIR")}" $(MESON) install -C $(INSTALL) --quiet --no-rebuild

$(INSTALL)/build.ninja: | packages
	$(MESON) setup $(INSTALL) --prefix "$(PREFIX)" -Dtests=false

# The sources of the commit that is checked out, as they are.
VERSION = $(shell sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)
dist:
	git archive --format=tar --prefix=instar-$(VERSION)/ HEAD | xz >instar-$(VERSION).tar.xz
	@echo instar-$(VERSION).tar.xz

# Debian packages of that commit, in build-deb.
deb:
	@tools/install-packages deb
	tools/make-deb $(DEB)

# In fresh trees of Debian, from the mirror that apt has on this machine: a few minutes, and no part of `test`.
test-install: deb
	@tools/install-packages install
	tools/test-install $(DEB)

# Two builds in different folders are the same bytes.
reproducible:
	@tools/install-packages deb
	tools/reproducible $(DEB)

clean:
	rm -rf $(BUILD) $(SANITIZE) $(TSAN) $(FUZZ) $(INSTALL) $(DEB)
