# What a developer does with this repository; `make help` lists it.
# Everything that is made lies in PREFIX, outside the repository.

SHELL  := /bin/bash
PREFIX ?= $(or $(XDG_DATA_HOME),$(HOME)/.local/share)/torchml
JOBS   ?= $(shell nproc)
# More options for install_dependencies.sh, for instance SETUP_FLAGS=--cuda
SETUP_FLAGS ?=
# Folder in which KIM-API finds the original driver, for `make bench`
ORIGINAL ?=
# Arguments of pytest (default: tests). With them, `make test-matrix` runs the tests in its machines
TESTS ?=
# Machines of `make test-matrix` (default: all), and a folder of source archives of KIM-API and LAMMPS
ROWS ?=
ARCHIVES ?=
# Targets of `make fuzz`, and the seconds of each
TARGETS ?= archive metadata neighbors param_file parameters
TIME ?= 60

setup_command = ./install_dependencies.sh --prefix "$(PREFIX)" --jobs $(JOBS) $(SETUP_FLAGS)
in_environment = . "$(PREFIX)/env.sh" &&

# By default OpenMPI refuses to run as root, and to start more ranks than there are cores.
demo test test-matrix bench validate: export OMPI_ALLOW_RUN_AS_ROOT = 1
demo test test-matrix bench validate: export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
demo test test-matrix bench validate: export OMPI_MCA_rmaps_base_oversubscribe = 1
# A user's compiler may know warnings that ours does not; here they are errors.
test: export TORCHML_WARNINGS_AS_ERRORS = ON

.PHONY: help setup demo test test-matrix validate gpu-check fuzz sanitize lint types layering docs bench clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile
	@printf 'Variables: PREFIX=%s JOBS=%s SETUP_FLAGS=%s\n' "$(PREFIX)" "$(JOBS)" "$(SETUP_FLAGS)"

setup: ## install all that is needed, the KIM driver and the Python package
	@$(setup_command)

demo: setup ## train a potential for silicon and run it in LAMMPS: data, training, export, NVE
	@$(in_environment) python examples/demo.py

# Both suites run even if the first fails; the last lines say how each ended. CMake's cache goes,
# because another clone may have used this prefix. Tests use one thread each, and a file's tests
# share what they prepare: files run side by side.
test: ## set up, then run the C++ and the Python tests
	@$(setup_command) --with-tests
	@$(in_environment) \
	cpp=failed; python=failed; \
	rm -f "$(PREFIX)/build/cpp/CMakeCache.txt"; \
	cmake -S tests/cpp -B "$(PREFIX)/build/cpp" && \
	cmake --build "$(PREFIX)/build/cpp" --parallel $(JOBS) && \
	ctest --test-dir "$(PREFIX)/build/cpp" --parallel $(JOBS) --output-on-failure \
		--no-tests=error && cpp=passed; \
	python -m pytest $(or $(TESTS),tests) --numprocesses $(JOBS) --dist loadfile && python=passed; \
	echo "C++ tests (CTest) $$cpp, Python tests (pytest) $$python"; \
	[[ $$cpp$$python == passedpassed ]]

test-matrix: ## build, export, check and run LAMMPS with the lowest and newest versions, and in other systems
	@python3 -B tests/matrix/run.py $(ROWS) --prefix "$(PREFIX)" --jobs $(JOBS) \
		$(if $(ARCHIVES),--archives "$(ARCHIVES)") $(if $(TESTS),--tests="$(TESTS)")

validate: ## examine a model of each kind with torchml check: pages in PREFIX/validation
	@$(setup_command) --with-mace
	@$(in_environment) python examples/validate.py --output "$(PREFIX)/validation"

# Without a GPU it says so. SETUP_FLAGS=--cuda installs a torch that knows GPUs.
gpu-check: setup ## a GPU beside the CPU: results, ranks, times, copies; under ten minutes
	@$(in_environment) python benchmarks/gpu.py

# New inputs stay in PREFIX/build/fuzz/corpus, where the next run goes on. One that breaks a promise
# becomes a file in PREFIX/build/fuzz; the target with that file as its argument repeats it.
fuzz: ## libFuzzer on files of models and on neighbour lists, TIME=60 seconds each; needs clang
	@cmake -S tests/fuzz -B "$(PREFIX)/build/fuzz" -DCMAKE_CXX_COMPILER=clang++ && \
	cmake --build "$(PREFIX)/build/fuzz" --parallel $(JOBS) && \
	for name in $(TARGETS); do \
		mkdir -p "$(PREFIX)/build/fuzz/corpus/$$name" && \
		"$(PREFIX)/build/fuzz/fuzz_$$name" -max_total_time=$(TIME) -timeout=20 -rss_limit_mb=1024 \
			-print_final_stats=1 -artifact_prefix="$(PREFIX)/build/fuzz/$$name-" \
			"$(PREFIX)/build/fuzz/corpus/$$name" "tests/fuzz/corpus/$$name" || exit 1; \
	done

# libtorch of a wheel has no sanitizer: its leaks are not ours. Older versions of ThreadSanitizer need
# addresses that the kernel does not move far: setarch -R, where it is allowed.
sanitize: setup ## the C++ tests with AddressSanitizer and UBSan, then with ThreadSanitizer; valgrind
	@$(in_environment) \
	export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 OMP_NUM_THREADS=2 \
		TSAN_OPTIONS="suppressions='$(CURDIR)/tests/cpp/tsan_suppressions.txt'"; \
	fixed=; if setarch -R true 2>/dev/null; then fixed="setarch -R"; fi; \
	status=0; \
	for sanitizers in address,undefined thread; do \
		build="$(PREFIX)/build/sanitize-$$sanitizers"; \
		cmake -S tests/cpp -B "$$build" -DTORCHML_SANITIZE=$$sanitizers -DTORCHML_OPTIMIZATION=-O1 && \
		$$fixed cmake --build "$$build" --parallel $(JOBS) && \
		$$fixed ctest --test-dir "$$build" --parallel $(JOBS) --output-on-failure --no-tests=error || status=1; \
	done; \
	PYTHONPATH=tests python tests/kim/memcheck.py "$$build/torchml_kim_client" || status=1; \
	exit $$status

lint: setup ## ruff, clang-format, codespell, and shellcheck where it is installed
	@$(in_environment) \
	status=0; \
	ruff check . || status=1; \
	git ls-files -z '*.py' '*.pyi' | xargs -0 ruff format --check || status=1; \
	git ls-files -z '*.cpp' '*.hpp' | xargs -0 clang-format --dry-run -Werror || status=1; \
	git ls-files -z | xargs -0 codespell || status=1; \
	if command -v shellcheck >/dev/null; then \
		shellcheck install_dependencies.sh .ci/run || status=1; \
	fi; \
	exit $$status

types: setup ## mypy, and the stubs of the C++ modules against the modules
	@$(in_environment) mypy && \
	python -m mypy.stubtest torchml._core torchml._descriptors \
		--allowlist tests/python/stubtest.txt

layering: setup ## imports of Python and #includes of C++ point down
	@$(in_environment) lint-imports && python tests/cpp/check_includes.py && \
	python -m pytest -q tests/python/test_layering*.py

docs: setup ## the documentation with the API reference, into PREFIX/docs
	@$(in_environment) mkdocs build --strict --site-dir "$(PREFIX)/docs"

# accuracy.py, which needs data of yours, is not among them.
bench: setup ## steps of LAMMPS (ORIGINAL=DIR: also by the original driver), graphs, descriptors, training
	@$(in_environment) \
	python benchmarks/driver.py $(if $(ORIGINAL),--original "$(ORIGINAL)") && \
	for name in graph descriptor training; do python "benchmarks/$$name.py" || exit 1; done

clean: ## remove what was built, keeping the Python environment
	rm -rf -- "$(PREFIX)/build" "$(PREFIX)/stamps/driver" "$(PREFIX)/stamps/package" demo-output
