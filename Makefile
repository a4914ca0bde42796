# SPDX-License-Identifier: Apache-2.0
# The front door. meson does the work; every target installs what it needs (tools/install-packages).

BUILD := build
SANITIZE := build-sanitize
MESON := /usr/bin/meson
NINJA := /usr/bin/ninja --quiet

.PHONY: all packages sanitize test check bench bench-transports demo format clean

all: $(BUILD)/build.ninja
	$(NINJA) -C $(BUILD)
	@ln -sfn guest/programs $(BUILD)/guests

packages:
	@tools/install-packages build

$(BUILD)/build.ninja: | packages
	$(MESON) setup $(BUILD)

# The same programs with the address and undefined-behaviour sanitizers. Guest programs stay as they are.
sanitize: $(SANITIZE)/build.ninja
	$(NINJA) -C $(SANITIZE)
	@ln -sfn guest/programs $(SANITIZE)/guests

$(SANITIZE)/build.ninja: | packages
	$(MESON) setup $(SANITIZE) -Db_sanitize=address,undefined -Db_lundef=false

test: all sanitize
	@tools/install-packages test
	tests/run --build $(BUILD) --sanitize $(SANITIZE)

check: all
	@tools/install-packages check
	tools/check

bench: all
	@tools/install-packages bench
	bench/run --build $(BUILD)
	bench/images --build $(BUILD)

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

clean:
	rm -rf $(BUILD) $(SANITIZE)
