#!/bin/sh
# Makes the cluster at the first start, and runs it. It listens on a unix socket alone and asks the
# kernel who is there, so there is no password that could be known.
set -eu
programs="$(echo /usr/lib/postgresql/*/bin)"
version="$(basename "$(dirname "$programs")")"
data="/var/lib/postgresql/$version"
if [ ! -e "$data" ]; then
  # Under another name until it is whole: a start that was cut short begins anew.
  rm -rf "$data.new"
  "$programs/initdb" --pgdata="$data.new" --username=postgres --encoding=UTF8 --locale=C.UTF-8 \
    --auth-local=peer --auth-host=reject --data-checksums
  printf 'create role insien login;\ncreate database insien owner insien;\n' |
    "$programs/postgres" --single -D "$data.new" postgres
  mv "$data.new" "$data"
fi
exec "$programs/postgres" -D "$data" -k /run/postgresql -c listen_addresses= "$@"
