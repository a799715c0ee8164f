#!/bin/sh
# Gives the data directory to the user insien, and becomes that user, with the group that may speak to
# the Docker daemon.
set -eu
data="${INSIEN_DATA_DIR:?must be the same absolute path here as on the host}"
socket="${DOCKER_HOST:-unix:///var/run/docker.sock}"
socket="${socket#unix://}"
if [ ! -S "$socket" ]; then
  echo "There is no Docker socket at $socket: mount the host's." >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then
  install --directory --owner=insien --group=insien --mode=0711 "$data"
  set -- setpriv --reuid=insien --regid=insien --groups="$(stat --format=%g "$socket")" \
    --inh-caps=-all --no-new-privs \
    node --conditions=source --max-semi-space-size=4 packages/orchestrator/src/main.ts "$@"
else
  set -- node --conditions=source --max-semi-space-size=4 packages/orchestrator/src/main.ts "$@"
fi
exec "$@"
