#!/bin/sh
# How many synthetic tiles beside the real ones: the generators of a finished central study, at four ratios.
#
#   sh benchmarks/ratio_study.sh consep:CoNSeP CENTRAL OUT [STEPS] [FRACTION]
#
# CENTRAL is the folder of benchmarks/central_study.sh, of the same FRACTION (0.1); its JointFlow, and the one that was
# begun from the package's model, make four times the area of its training tiles. RESUME=--resume goes on.
set -eu
data=$1 central=$2 out=$3 steps=${4:-400} fraction=${5:-0.1}
arms="--arm real"
for place in "$central"/parts/*/makers/jointflow-tiny "$central"/parts/*/makers/from_pretrained*; do
  store=$out-pairs/$(basename "$place")
  grep -qs '"finished": true' "$store/_store.json" || nucleosynth generate "$place/generator" --n 740 --out "$store"
  arms="$arms --arm real+$store"
done
# shellcheck disable=SC2086
nucleosynth study --data "$data" --classes consep4 $arms --fraction "$fraction" --steps "$steps" \
  --ratio 0.5 --ratio 1 --ratio 2 --ratio 4 --run "$out" ${RESUME:-}
