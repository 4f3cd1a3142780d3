#!/usr/bin/env bash
# Builds the GPU server's image and looks inside, on a host that needs no GPU and without using one: its size and
# parts, PyTorch's CUDA, the C compiler, Triton's compiler, and what the server says where there is no GPU.
#   BUILD=no        the image is there already
#   RESULT=FILE     what was found, as JSON
# Another engine with Docker's command line: DOCKER=… COMPOSE=…
set -euo pipefail
cd "$(dirname "$0")/../.."
DOCKER=${DOCKER:-docker} COMPOSE=${COMPOSE:-docker compose}
IMAGE=handover-server:gpu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
# as docker-compose.yml confines it, but without a GPU
confined() {
  $DOCKER run --rm -i --network none --user 10001:10001 --read-only --cap-drop ALL --security-opt no-new-privileges \
    --tmpfs /tmp:size=512m,mode=1777 --tmpfs /compiled:size=1g,mode=1777,exec \
    -v "$PWD/checkpoints:/checkpoints:ro" -v "$PWD/tests:/tests:ro" "$@"
}

if [ "${BUILD:-yes}" = yes ]; then
  say "building"
  COMPOSE_PROFILES=gpu $COMPOSE build server
fi

say "looking inside"
confined --entrypoint python $IMAGE /tests/containers/gpu_image.py >"$scratch/inside.json" ||
  { cat "$scratch/inside.json"; fail "a GPU server would lack something"; }
cat "$scratch/inside.json"

say "where there is no GPU"
if confined --entrypoint handover $IMAGE serve --device=cuda --checkpoint=/checkpoints/aloha-mini 2>"$scratch/refusal"; then
  fail "it served"
fi
cat "$scratch/refusal"
[ "$(wc -l <"$scratch/refusal")" = 1 ] || fail "the refusal is not one line"

say "images"
base=$($DOCKER image inspect -f '{{.Size}}' python:3.11-slim-bookworm)
image=$($DOCKER image inspect -f '{{.Size}}' $IMAGE)
printf '%-24s %s MB, of which the base %s MB\n' $IMAGE $((image / 1000000)) $((base / 1000000))

if [ -n "${RESULT:-}" ]; then
  # the host may have no Python; the image has
  confined --entrypoint python $IMAGE -c '
import json, sys
engine, base, image, cores, system, refusal, inside = sys.argv[1:]
result = {
    "what": "the image of the GPU server, without a GPU: size, parts, compilers, what it refuses",
    "command": "tests/containers/gpu_image.sh",
    "engine": engine,
    "images_mb": {"handover-server:gpu": int(image) // 10**6},
    "base_mb": int(base) // 10**6,
    "refusal_without_gpu": refusal,
    "inside": json.loads(inside),
    "machine": {"cores": int(cores), "system": system},
}
print(json.dumps(result, indent=2))
' "$($DOCKER --version)" "$base" "$image" "$(nproc)" "$(uname -srm)" "$(cat "$scratch/refusal")" \
    "$(cat "$scratch/inside.json")" >"$scratch/result.json"
  cp "$scratch/result.json" "$RESULT"
fi
