#!/usr/bin/env bash
#
# Measures the simulation by mutants: applies each deliberate fault of tests/sim/mutants to a copy of the tree, and looks
# whether a history shows it.
#
#   sim-mutants.sh [MUTANT...]     all of them if none is named; SEEDS=200 histories of each family
#
# A patch says in its head what the fault is, and which families may show it. It counts as found if a history breaks a
# requirement that the tree as it is keeps: a family that breaks one already says nothing about that one.
# Fails if a mutant is not found, does not apply or does not compile. All is kept in target/sim-mutants.

set -euo pipefail

# Histories of each family that the tree as it is goes through.
BEFORE=10

# Seconds that the histories of one family may take.
LIMIT=120

cd "$(dirname "$0")/../.."
ROOT=$PWD
WORK=$ROOT/target/sim-mutants
TREE=$WORK/tree
CLEAN=$WORK/clean
MUTANTS=$ROOT/tests/sim/mutants
seeds=${SEEDS:-200}
export CARGO_TARGET_DIR=$WORK/target CARGO_PROFILE_DEV_DEBUG=0 CARGO_TERM_QUIET=false RUST_BACKTRACE=0
export SIM_SEED='' SIM_ALL='' SIM_EXCEPT='' SIM_EACH=''
# A history of these takes a second.
export SIM_END=30

# Builds the simulation and prints where it is.
build() {
    local said
    said=$(cd "$TREE" && cargo test --locked --test sim --no-run 2>&1) || { printf '%s\n' "$said" >&2 && return 1; }
    said=$(sed -n 's/^ *Executable tests.sim.main.rs (\(.*\))$/\1/p' <<<"$said")
    (cd "$TREE" && realpath "$said")
}

# Runs a family: simulate BINARY FAMILY. Fails if a requirement is broken, or if it does not come to an end.
simulate() {
    local test
    test=$("$1" --list | sed -n "s/^\($2_.*\): test$/\1/p" | head -n 1)
    [[ -n $test ]] || { echo "there is no family $2" >&2 && return 3; }
    (cd "$TREE" && timeout "$LIMIT" "$1" --exact "$test" 2>&1)
}

# The requirements in what a failed run has told, with commas between them.
requirements() {
    sed -n 's/^  \[\([^]]*\)\] .*/\1/p' <<<"$1" | sort -u | paste -sd,
}

# Sets except[FAMILY] to what the tree as it is breaks.
declare -A except
look_before() {
    local said
    [[ -z ${except[$1]+known} ]] || return 0
    said=$(SIM_ALL=1 SIM_EACH=$BEFORE simulate "$WORK/before" "$1") || true
    except[$1]=$(requirements "$said")
}

# Looks for the mutant in one family: prints the seed and what it breaks.
look_in() {
    local binary=$1 family=$2 skip=${except[$2]} said before seed broken status
    while true; do
        status=0
        said=$(SIM_EACH=$seeds SIM_EXCEPT=$skip simulate "$binary" "$family") || status=$?
        case $status in
            0 | 3 | 124) return 1 ;;
        esac
        seed=$(sed -n 's/^make sim SEED=\([0-9]*\) .*/\1/p' <<<"$said" | head -n 1)
        [[ -n $seed ]] || { echo "- panics" && return 0; }
        broken=$(requirements "$said")
        before=$(SIM_SEED=$seed SIM_EXCEPT=$skip simulate "$WORK/before" "$family") && break
        skip=$skip,$(requirements "$before")
    done
    echo "$seed $broken"
}

undo() {
    local file
    for file in $(sed -n 's/^+++ \([^ \t]*\).*/\1/p' "$1"); do
        cp "$CLEAN/$file" "$TREE/$file"
    done
}

rm -rf "$TREE" "$CLEAN"
mkdir -p "$TREE" "$CLEAN"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -xf - -C "$TREE"
cp -r "$TREE/src" "$CLEAN"
# What was built before may have been a mutant.
touch "$TREE/src/lib.rs"
cp "$(build)" "$WORK/before"

(($# > 0)) || set -- $(cd "$MUTANTS" && printf '%s\n' *.patch | sed 's/\.patch$//')
printf '%-30s %-8s %-16s %5s %7s  %s\n' mutant found family seed seconds broken
missed=0
for mutant; do
    patch=$MUTANTS/$mutant.patch
    began=$SECONDS found=no where=- seed=- broken=
    if ! patch --directory="$TREE" --strip=0 --silent --no-backup-if-mismatch --reject-file=- <"$patch" >/dev/null; then
        found='no' broken='does not apply'
    elif ! binary=$(build); then
        found='no' broken='does not compile'
    else
        for family in $(sed -n 's/^Families: //p' "$patch"); do
            look_before "$family"
            if told=$(look_in "$binary" "$family"); then
                found=yes where=$family seed=${told%% *} broken=${told#* }
                break
            fi
        done
    fi
    [[ $found == yes ]] || missed=$((missed + 1))
    printf '%-30s %-8s %-16s %5s %7s  %s\n' "$mutant" "$found" "$where" "$seed" $((SECONDS - began)) "$broken"
    undo "$patch"
done
for family in "${!except[@]}"; do
    [[ -z ${except[$family]} ]] || echo "as it is, the tree breaks in $family: ${except[$family]}"
done
((missed == 0)) || { echo "$missed of $# mutants were not found" && exit 1; }
