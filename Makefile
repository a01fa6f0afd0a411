# The two commands on a fresh Debian 12: `make demo` and `make test`. Packages come by apt (root or sudo) where they are
# missing; everything else is CMake's: see docs/CONTRIBUTING.md.
JOBS := $(shell nproc)

.PHONY: all demo test packages release asan install clean
all: release

packages:
	@sh tools/packages.sh

release: packages
	@cmake --preset release >build-release.log 2>&1 || { cat build-release.log; exit 1; }
	@cmake --build --preset release -j $(JOBS)
	@rm -f build-release.log

asan: packages
	@cmake --preset asan >build-asan.log 2>&1 || { cat build-asan.log; exit 1; }
	@cmake --build --preset asan -j $(JOBS)
	@rm -f build-asan.log

demo: packages
	@cmake --preset release >build-release.log 2>&1 || { cat build-release.log; exit 1; }
	@cmake --build --preset release -j $(JOBS) --target pare
	@rm -f build-release.log
	@build/release/pare demo

test: packages
	@sh tools/test.sh

install: release
	cmake --install build/release

clean:
	rm -rf build
