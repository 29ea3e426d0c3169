# The commands of the house. Everything runs from a clean checkout: `make build` is called by the others.
PY := .venv/bin/python
EXT_SOURCES := $(shell find vslib datapath ofproto -name '*.pyx' -o -name '*.pxd')
COMPILED := build/.compiled

.PHONY: build demo test check check-debug check-asan lint types house bench soak docs dist clean

build: $(COMPILED)

.venv/.ready: pyproject.toml .ci/setup
	.ci/setup venv
	@touch $@

$(COMPILED): .venv/.ready setup.py $(EXT_SOURCES)
	$(PY) setup.py -q build_ext --inplace --parallel 2
	@mkdir -p build && touch $@

demo: build
	.ci/setup tools
	$(PY) -m bench.demo

test: build
	.ci/setup tools
	$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests

lint: build
	.venv/bin/ruff check .

types: build
	.venv/bin/mypy

# Layering, sizes, stale generated files and compiler hints are tests of their own: they fail fast and name the line.
house: build
	$(PY) -m pytest -q tests/test_house.py

check: lint types house test

# The build with bounds checks and C assertions on, in a copy of the tree so that the release build stays as it is.
check-debug: build
	.ci/setup tools
	rm -rf build/debug-tree && mkdir -p build/debug-tree
	git ls-files -z | xargs -0 cp --parents -t build/debug-tree
	cd build/debug-tree && CYVSWITCH_DEBUG=1 ../../$(PY) setup.py -q build_ext --inplace --parallel 2
	ln -s ../../.venv build/debug-tree/.venv
	cd build/debug-tree && PYTHONPATH=$(CURDIR)/build/debug-tree $(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests

# The same with the compiler's address and undefined-behaviour sanitizers; Python's own memory comes from malloc, so that a
# read behind the end of a `bytes` is found too. The first finding ends the test process with a report.
check-asan: build
	.ci/setup tools
	rm -rf build/asan-tree && mkdir -p build/asan-tree
	git ls-files -z | xargs -0 cp --parents -t build/asan-tree
	cd build/asan-tree && CYVSWITCH_DEBUG=1 CYVSWITCH_SANITIZE=address,undefined \
		../../$(PY) setup.py -q build_ext --inplace --parallel 2
	cd build/asan-tree && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONMALLOC=malloc \
		../../$(PY) -m pytest -q -n 2 --timeout 1200 tests/datapath tests/ofproto tests/scenario tests/soak

# Open vSwitch with DPDK is fetched into build/dpdk and not installed; without it, the reason is told.
bench: build
	.ci/setup tools
	.ci/setup plots
	$(PY) -m bench --json build/bench/bench.json --plots build/bench

# Ten minutes of random edits and traffic whose books must balance, five of everything else at once, and a minute of damaged
# input at each entrance; CYVSWITCH_SOAK_SECONDS and CYVSWITCH_FUZZ_SECONDS change that.
soak: build
	.ci/setup tools
	$(PY) -m pytest -q -m slow --soak tests

docs: build
	$(PY) -m datapath.gen
	$(PY) -m ofproto.gen_docs

# Source archive, wheel and Debian package for this machine, in dist/; tools come from PyPI. For other machines and versions
# of Python: .ci/dist, PYTHON and CC in the environment.
dist: .venv/.ready
	PYTHON=$${PYTHON:-$(PY)} .ci/dist

clean:
	rm -rf build dist .venv
	find vslib datapath ofproto -name '*.so' -delete
