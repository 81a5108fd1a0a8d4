# Builds the fuzz targets with libFuzzer, AddressSanitizer and UBSan into fuzz-build/ and runs them. Called by `make fuzz`
# and `make fuzz-corpus`, which give CC, SRC, CONFIG (where config.h is), SECONDS_EACH, TARGETS, CFLAGS_DEPS and LIBS_DEPS.
#
# fuzz-build/corpus/TARGET collects what runs find, fuzz-build/TARGET.log is the log of the last run; an input that ends the
# program is named by its last lines.
OUT = fuzz-build
SANITIZE = address,undefined
FLAGS = -std=gnu11 -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all -include config.h -I$(CONFIG) -I$(SRC)/src -I$(SRC)/src/client \
	-I$(SRC)/tests $(CFLAGS_DEPS)
# A small quarantine: the scripts allocate and free much, and a large one costs more page faults than all else.
ENV = ASAN_OPTIONS=quarantine_size_mb=8:malloc_context_size=8

objects = $(patsubst $(SRC)/%.c,$(OUT)/%.o,$(foreach lib,$(1),$(wildcard $(SRC)/src/$(lib)/*.c)))
tests = $(patsubst %,$(OUT)/tests/%.o,$(1))

frame_PARTS = $(call tests,fuzz/fuzz-frame) $(call objects,wire base)
frame_FLAGS = -max_len=4096
request_PARTS = $(call tests,fuzz/fuzz-request) $(call objects,wire base)
request_FLAGS = -max_len=4096
reply_PARTS = $(call tests,fuzz/fuzz-reply) $(call objects,client tls base)
reply_FLAGS = -max_len=4096
conf_PARTS = $(call tests,fuzz/fuzz-conf) $(call objects,conf raft base)
conf_FLAGS = -max_len=4096
http_PARTS = $(call tests,fuzz/fuzz-http) $(OUT)/src/http/request.o $(call objects,base)
http_FLAGS = -max_len=1024
tls_PARTS = $(call tests,fuzz/fuzz-tls) $(call objects,tls base)
tls_FLAGS = -max_len=4096
config_PARTS = $(call tests,fuzz/fuzz-config) $(call objects,raft wire base)
config_FLAGS = -max_len=700
log_PARTS = $(call tests,fuzz/fuzz-log fuzz/log-damage fuzz/steps unit/fake-disk unit/store-model) \
	$(call objects,store raft base)
log_FLAGS = -max_len=1600
snap_PARTS = $(call tests,fuzz/fuzz-snap unit/fake-disk) $(call objects,snap store raft base)
snap_FLAGS = -max_len=4096
parts_PARTS = $(call tests,fuzz/fuzz-parts fuzz/steps unit/fake-disk) \
	$(call objects,engine snap service replica kv wire store raft base)
parts_FLAGS = -max_len=800
node_PARTS = $(call tests,fuzz/fuzz-node fuzz/node-judge fuzz/node-world fuzz/steps unit/fake-disk) \
	$(call objects,engine snap service replica kv wire store raft base)
node_FLAGS = -max_len=1600

programs = $(TARGETS:%=$(OUT)/fuzz-%)

all: $(programs)

# Says what is missing before anything is compiled.
$(OUT)/have-libfuzzer:
	@mkdir -p $(OUT)
	@command -v $(CC) > /dev/null || { echo "make fuzz: '$(CC)' is missing: apt-get install clang" >&2; exit 1; }
	@printf '%s\n' '#include <stddef.h>' 'int LLVMFuzzerTestOneInput(const char *p, size_t n);' \
		'int LLVMFuzzerTestOneInput(const char *p, size_t n) { return p == NULL && n > 0; }' > $(OUT)/have.c
	@$(CC) -fsanitize=fuzzer,$(SANITIZE) $(OUT)/have.c -o $@ > $(OUT)/have.log 2>&1 || { \
		echo "make fuzz: '$(CC)' has no libFuzzer (see $(OUT)/have.log): it needs clang with its runtime libraries" >&2; exit 1; }

$(OUT)/%.o: $(SRC)/%.c $(OUT)/have-libfuzzer
	@mkdir -p $(@D)
	@$(CC) $(FLAGS) -fsanitize=fuzzer-no-link,$(SANITIZE) -MMD -MP -c $< -o $@

.SECONDEXPANSION:
$(programs): $(OUT)/fuzz-%: $$($$*_PARTS)
	@echo "  FUZZLD   $@"
	@$(CC) -fsanitize=fuzzer,$(SANITIZE) $^ $(LIBS_DEPS) -o $@

run: $(TARGETS:%=run-%)

# The working corpus comes first: libFuzzer writes there.
run-%: $(OUT)/fuzz-%
	@mkdir -p $(OUT)/corpus/$*
	@dict='$(SRC)/tests/fuzz/dict/$*.dict'; dict=$$(test -f "$$dict" && echo "-dict=$$dict"); \
	$(ENV) $(OUT)/fuzz-$* $($*_FLAGS) $$dict -max_total_time=$(SECONDS_EACH) -print_final_stats=1 -timeout=20 \
		-artifact_prefix=$(OUT)/$*- $(OUT)/corpus/$* $(SRC)/tests/fuzz/corpus/$* > $(OUT)/$*.log 2>&1; \
	status=$$?; \
	echo "fuzz $*: $$(sed -n 's/^stat::number_of_executed_units: *//p' $(OUT)/$*.log) executions," \
		"$$(test $$status -eq 0 && echo 'no crash' || echo "FAILED, see $(OUT)/$*.log")"; \
	exit $$status

# Inputs with names of their own stay; of those that libFuzzer named the fewest that reach every edge.
merge: $(TARGETS:%=merge-%)
merge-%: $(OUT)/fuzz-%
	@mkdir -p $(OUT)/corpus/$*
	@dest='$(SRC)/tests/fuzz/corpus/$*'; mkdir -p "$$dest"; \
	find "$$dest" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -exec mv -t $(OUT)/corpus/$* '{}' +; \
	$(ENV) $(OUT)/fuzz-$* $($*_FLAGS) -use_counters=0 -merge=1 "$$dest" $(OUT)/corpus/$* > $(OUT)/$*-merge.log 2>&1 || \
		{ cat $(OUT)/$*-merge.log >&2; exit 1; }; \
	echo "fuzz $*: $$(ls "$$dest" | wc -l) inputs, $$(cat "$$dest"/* | wc -c) bytes"

.PHONY: all run merge
.PRECIOUS: $(OUT)/%.o $(OUT)/fuzz-%
-include $(shell find $(OUT) -name '*.d' 2> /dev/null)
