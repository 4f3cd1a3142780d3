#!/usr/bin/env bash
# Proves the containers' promises on real ones: `make containers`. Builds the images, serves the shipped checkpoint
# without a GPU, looks inside, replays and rolls out against it, stops everything. Needs Docker with its compose plugin.
#   BUILD=no        the images are there already
#   SEED=10000      of the first of EPISODES (3) in closed loop; at least one has to succeed
#   RESULT=FILE     the images' sizes and what was seen, as JSON
# Another engine with the same command line: DOCKER=… COMPOSE=… and, if it has no timer for health checks, HEALTHCHECK=…
set -euo pipefail
cd "$(dirname "$0")/../.."
DOCKER=${DOCKER:-docker} COMPOSE=${COMPOSE:-docker compose}
SEED=${SEED:-10000} EPISODES=${EPISODES:-3}
scratch=$(mktemp -d)
export COMPOSE_PROJECT_NAME=handover-proof COMPOSE_PROFILES=cpu,clients
export HANDOVER_PUBLISH=127.0.0.1:${PORT:-50151}
export HANDOVER_SECRETS=$scratch/secrets HANDOVER_RUNS=runs HANDOVER_DATASETS=datasets

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
finish() { $COMPOSE down -v -t 15 >/dev/null 2>&1 || true; rm -rf "$scratch"; }
$COMPOSE version >/dev/null 2>&1 || fail "no '$COMPOSE' here: install Docker with its compose plugin"
trap finish EXIT
trap 'exit 130' INT TERM

# a client's container, with another program in it
inside() { local service=$1; shift; $COMPOSE run --rm -T --entrypoint "$1" "$service" "${@:2}"; }
in_server() { $COMPOSE exec -T server-cpu "$@"; }

if [ "${BUILD:-yes}" = yes ]; then
  say "building"
  $COMPOSE build server-cpu replay rollout
fi

say "secrets"
server/make_secrets.sh
HANDOVER_SECRETS_GROUP=$(stat -c %g "$HANDOVER_SECRETS/token")
export HANDOVER_SECRETS_GROUP

say "starting the server; the evaluation waits for it by itself"
COMPOSE_PROFILES=cpu $COMPOSE up -d --no-build
[ "$($COMPOSE ps -q | wc -l)" = 1 ] || fail "a bare up started more than one service, or none"
server=$($COMPOSE ps -q)

say "what a container may do"
# the program prints what is wrong; every image has Python
look='
import os, pathlib, sys
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
wrong = []
if (os.getuid(), os.getgid()) != (10001, 10001): wrong.append(f"user {os.getuid()}:{os.getgid()}")
if int(status["CapEff"], 16) or int(status["CapBnd"], 16): wrong.append("it has capabilities")
if status["NoNewPrivs"].strip() != "1": wrong.append("it may gain privileges")
for folder in ("/", "/opt/handover", "/etc", "/checkpoints", "/run"):
    try:
        pathlib.Path(folder, "probe").touch()
        wrong.append(f"{folder} can be written")
    except OSError:
        pass
for module in sys.argv[1:]:
    try:
        __import__(module)
        wrong.append(f"it has {module}")
    except ImportError:
        pass
for program in ("gcc", "cc", "make", "git", "ffmpeg"):
    if any(os.access(f"{path}/{program}", os.X_OK) for path in os.environ["PATH"].split(":")):
        wrong.append(f"it has {program}")
print(f"uid {os.getuid()}, no capabilities, read-only" if not wrong else ", ".join(wrong))
sys.exit(bool(wrong))
'
echo "server-cpu: $(in_server python -c "$look" mujoco gym_aloha pytest)" || fail "server-cpu"
echo "replay:     $(inside replay python -c "$look" torch transformers mujoco pytest)" || fail "replay"
echo "rollout:    $(inside rollout python -c "$look" torch transformers pytest)" || fail "rollout"

say "the server's health, as docker-compose.yml asks for it"
for _ in $(seq 60); do
  ${HEALTHCHECK:-true} "$server" >/dev/null 2>&1 || true  # engines without a timer of their own
  health=$($DOCKER inspect -f '{{.State.Health.Status}}' "$server")
  [ "$health" = healthy ] && break
  sleep 2
done
[ "$health" = healthy ] || { $COMPOSE logs server-cpu; fail "the server is $health"; }
echo "$health"

say "strangers are refused"
if refusal=$(inside replay handover info --server=server:50051 --tls-ca=/run/secrets/tls_ca 2>&1); then
  fail "a client without a token was served"
fi
echo "$refusal" | tail -n1

say "open loop: the shipped recordings, converted and replayed"
$COMPOSE run --rm -T convert
$COMPOSE run --rm -T replay --dataset-path=/datasets/transfer_cube --steps=32 --output=/runs/replay

say "closed loop: does the cube change hands?"
$COMPOSE run --rm -T rollout --task=transfer_cube --seed="$SEED" --episodes="$EPISODES" \
  --execute-steps=4 --workers=1 --videos=none --output=/runs/rollout
judge='
import json, os, sys
figures = json.load(open("/runs/rollout/metrics.json"))
size = os.path.getsize("/runs/rollout/report.html")
print(figures["successes"], "of", figures["episodes"], "succeeded; report.html:", size, "bytes")
sys.exit(figures["successes"] == 0)
'
inside rollout python -c "$judge" || fail "no episode succeeded"

say "Ctrl-C ends an evaluation and leaves what it has for another go"
$COMPOSE run -T --name handover-proof-interrupted rollout --task=transfer_cube --episodes=50 \
  --execute-steps=4 --workers=1 --videos=none --output=/runs/interrupted >"$scratch/interrupted.log" 2>&1 &
client=$!
for _ in $(seq 300); do
  $DOCKER exec handover-proof-interrupted ls -A /runs 2>/dev/null | grep -q '^.interrupted.partial$' && break
  sleep 1
done
$DOCKER kill -s INT handover-proof-interrupted >/dev/null
wait "$client" || true
status=$($DOCKER inspect -f '{{.State.ExitCode}}' handover-proof-interrupted)
$DOCKER rm -f handover-proof-interrupted >/dev/null
[ "$status" = 130 ] || { cat "$scratch/interrupted.log"; fail "its exit status is $status, expected 130"; }
echo "exit status $status"

say "SIGTERM ends the server within its bound"
start=$(date +%s%N)
$COMPOSE stop -t 15 server-cpu
took_ms=$((($(date +%s%N) - start) / 1000000))
status=$($DOCKER inspect -f '{{.State.ExitCode}}' "$server")
[ "$status" = 0 ] || { $COMPOSE logs server-cpu; fail "its exit status is $status, expected 0"; }
echo "exit status $status after $took_ms ms"

say "images"
sizes=
for image in python:3.11-slim-bookworm handover-server:cpu handover-replay handover-rollout; do
  megabytes=$(($($DOCKER image inspect -f '{{.Size}}' "$image") / 1000000))
  printf '%-24s %s MB\n' "$image" "$megabytes"
  sizes+="${sizes:+, }\"$image\": $megabytes"
done
if [ -n "${RESULT:-}" ]; then
  what="sizes of the images in MB (the base is included in each), and what tests/containers/run.sh saw"
  printf '{\n  "what": "%s",\n  "engine": "%s",\n  "images_mb": {%s},\n  "promises": "all kept",\n  "command": "tests/containers/run.sh",\n' \
    "$what" "$($DOCKER --version)" "$sizes" >"$RESULT"
  printf '  "episodes": %d,\n  "stopped_after_ms": %d,\n  "machine": {"cores": %d, "system": "%s"}\n}\n' \
    "$EPISODES" "$took_ms" "$(nproc)" "$(uname -srm)" >>"$RESULT"
fi
say "all promises kept"
