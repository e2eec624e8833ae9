#!/bin/sh
# The central experiment: every method as an arm, on the same tiles, for the same minutes, judged by the same judges.
#
#   sh benchmarks/central_study.sh consep:CoNSeP OUT [MINUTES] [STEPS] [FRACTION]
#
# MINUTES (10) are each generator's, STEPS (400) each judge's, FRACTION (0.1) of the labelled nuclei. The encoder of FD
# and KID is `texture`, the embedded default, named here before the run; consistency, coverage and the distance to
# training crops stand beside them in the report. Classes are merged as CoNSeP's readme merges them, as DAFF-GAN and
# DiffMix need it; all arms have the same. The last arm is JointFlow begun from the model that comes with the package:
# it alone rests on more than the labelled tiles, and the report says so.
# A study that was stopped goes on by the same command with RESUME=--resume before it.
set -eu
data=$1 out=$2 minutes=${3:-10} steps=${4:-400} fraction=${5:-0.1}
arms="--arm real --arm real+classic"
for method in nudiff sdm diffmix cosyn cosyn:gcdp-tiny daff_gan pix2pixhd spade cgpn_gan jointflow pretrained:he-tiny; do
  arms="$arms --arm real+$method"
done
# shellcheck disable=SC2086
nucleosynth study --data "$data" --classes consep4 $arms --fraction "$fraction" --steps "$steps" --minutes "$minutes" --run "$out" ${RESUME:-}
