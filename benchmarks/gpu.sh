#!/bin/sh
# JointFlow at 256^2 on one GPU, from tiles to reports: train, teach, climb down the ladder, judge.
#
#   sh benchmarks/gpu.sh consep:CoNSeP OUT [MINUTES]       then monuseg:MoNuSeg; everything is left under OUT
#   PRESET=tiny JUDGE=tiny STEPS=40 N=16 sh benchmarks/gpu.sh phantom: OUT .2   the same on a CPU, to see that it runs
#
# MINUTES (60) are the flow's; its student takes a third of that. The same command again goes on where it was stopped:
# what is trained or made already stays, and is measured anew.
# Not in it: what each rung of the ladder is worth to a judge. That needs a flow and a student of the study's own subset
# of the training tiles (`nucleosynth subset`, `fit`, `distil`), since pairs of a flow that saw more would not be fair.
set -eu
data=$1 out=$2 minutes=${3:-60}
preset=${PRESET:-small} judge=${JUDGE:-resnet50} steps=${STEPS:-20700} n=${N:-512} batch=${BATCH:-64}
here=$(dirname "$0")
mkdir -p "$out"

again() {
  if [ -e "$1" ]; then echo --resume; fi
}

nucleosynth fit jointflow --preset "$preset" --data "$data" --split train --run "$out/flow" --minutes "$minutes" \
  $(again "$out/flow/run.json")
third=$(awk "BEGIN { print $minutes / 3 }")
nucleosynth distil "$out/flow" --run "$out/student" --minutes "$third" $(again "$out/student/run.json")
nucleosynth segment fit --data "$data" --split train --preset "$judge" --steps "$steps" --run "$out/judge" \
  $(again "$out/judge/run.json")

for run in flow student; do
  nucleosynth cost "$out/$run" --size 256 --json "$out/cost_$run.json"
  grep -qs '"finished": true' "$out/pairs_$run/_store.json" || nucleosynth generate "$out/$run" --n "$n" --batch "$batch" --out "$out/pairs_$run"
  PYTHONPATH=$here python "$here/pairs.py" "$out/$run" "$data" --n "$n" --judge "$out/judge" --json "$out/pairs_$run.json"
done
PYTHONPATH=$here python "$here/ladder.py" "$out/flow" "$out/student" "$data" --n "$n" --batch "$batch" --judge "$out/judge" \
  --json "$out/ladder.json" --stores "$out/rungs"
python "$here/speed.py" "$out/flow" "$out/student" --batch "$batch" --json "$out/speed.json"

for share in 0.1 1; do
  nucleosynth study --data "$data" --judge-preset "$judge" --steps "$steps" --minutes "$minutes" \
    --arm real --arm real+classic --arm "real+classic+jointflow:$preset" --fraction "$share" --ratio 0.5 --ratio 1 --ratio 2 \
    --run "$out/study_$share" $(again "$out/study_$share/plan.json")
done
