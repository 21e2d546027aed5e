#!/usr/bin/env bash
# Set up, then extract, train and report a dataset: bash run_pipeline.sh [DATASET [EXTRACT OPTIONS ...]]
set -euo pipefail
cd "$(dirname "$0")"
source ./setup_venv.sh
setup_venv

dataset="${1:-sample}"
[ $# -eq 0 ] || shift
weights=()
# The sample dataset is for trying things out: it needs no download.
[ "$dataset" != sample ] || weights=(--weights random)

python=.venv/bin/python
run="runs/$dataset-$(date +%Y%m%d-%H%M%S)"
status=0
store="$("$python" -m pipeline extract --dataset "$dataset" "${weights[@]}" "$@")" || status=$?
# 3 means that some clips failed: they are recorded, and the others go on.
[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || exit "$status"
"$python" -m pipeline train --features "$store" --out "$run" --seeds 3 --no-report >/dev/null
report="$("$python" -m pipeline report "$run")"

echo "store:  $store"
echo "run:    $run"
echo "report: $report"
exit "$status"
