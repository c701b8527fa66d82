# Shared by the scripts beside it, which source it: where the checkout is, which Compose there is, what .env says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

command -v docker >/dev/null || fail "Docker is not installed: https://docs.docker.com/engine/install/"
if docker compose version >/dev/null 2>&1; then
  compose() { docker compose -f docker-compose.yml "$@"; }
elif command -v docker-compose >/dev/null; then
  compose() { docker-compose -f docker-compose.yml "$@"; }
else
  fail "Docker Compose is not installed: https://docs.docker.com/compose/install/linux/"
fi
docker info >/dev/null 2>&1 ||
  fail "the Docker engine does not answer; start it, or see whether $(id -un) may use it (group docker)"

setting() { # setting NAME DEFAULT: from the environment, else from .env
  local line=""
  if [[ -n ${!1:-} ]]; then
    echo "${!1}"
    return
  fi
  [[ -f .env ]] && line=$(grep -E "^$1=" .env | tail -1) || true
  line=${line#*=}
  echo "${line:-$2}"
}

remember() { # remember NAME VALUE: in .env, in place of what stands there
  sed -i -E "/^(# )?$1=/d" .env
  echo "$1=$2" >>.env
}

joined() { # joined WORD …: with commas between them
  local IFS=,
  echo "$*"
}

version() { setting DEPLOY_VERSION local; }

# Root inside, to give each secret to the user that reads it, with nothing but the folder of secrets within reach.
tools() {
  docker run --rm -i --network none --read-only --tmpfs /tmp --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE \
    --cap-add FOWNER --security-opt no-new-privileges -v "$PWD/secrets:/secrets" -w / "$@"
}
