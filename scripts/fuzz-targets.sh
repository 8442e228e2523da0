#!/usr/bin/env bash
# Runs the fuzz targets of fuzz/, each for TIME seconds, beginning with what is saved in fuzz/corpus. What a target fails on
# is left in fuzz/artifacts: mend the code, and move the file to the target's corpus, which the tests replay.
#
#   TIME=60 scripts/fuzz-targets.sh [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."

time=${TIME:-60}
tools=$(scripts/cargo-tools.sh)
export PATH=$tools:$PATH
# Coverage is still a flag of nightly compilers; the pinned one has it all the same.
export RUSTC_BOOTSTRAP=1
# The dependencies that the service has.
cp Cargo.lock fuzz/Cargo.lock
# No code here is unsafe, so there is nothing for a sanitizer to find.
fuzz=(--sanitizer none)

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
cargo fuzz build "${fuzz[@]}"

failed=()
for target in "${targets[@]}"; do
    printf '\n=== %s: %s s\n' "$target" "$time"
    # What is new goes to the first directory, and is not kept in git.
    mkdir -p "fuzz/target/corpus/$target"
    cargo fuzz run "${fuzz[@]}" "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$time" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 -verbosity=0 ||
        failed+=("$target")
done
if [ ${#failed[@]} -gt 0 ]; then
    printf '\nfuzz-targets: %s FAILED; see fuzz/artifacts\n' "${failed[*]}"
    exit 1
fi
printf '\nfuzz-targets: nothing found\n'
